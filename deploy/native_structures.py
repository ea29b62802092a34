"""The structures of cavsync.h, for `cavsync.deploy.native`."""

from __future__ import annotations

import ctypes as c
import math
from typing import Any

from cavsync.deploy.stream.options import AUTO
from cavsync.deploy.verdict.events import BEGAN, DECISIONS, ENDED, STREAM_ENDED, EventChange
from cavsync.deploy.verdict.face_view import FaceView, LipMotion
from cavsync.deploy.verdict.records import AUDIO_EARLY, AUDIO_LATE, FACE, IN_SYNC, UNDETERMINED, WHOLE, SyncScore

# By the values of enumerations in cavsync_types.h.
STATES = (UNDETERMINED, IN_SYNC, AUDIO_EARLY, AUDIO_LATE)
PATHS = (AUTO, WHOLE, FACE)
CAUSES = (DECISIONS, UNDETERMINED, STREAM_ENDED, None)
PHASES = (BEGAN, ENDED)
# Fields of `cavsync_options` that a bundle has defaults of.
NUMBERS = ("window_seconds", "max_offset_ms", "frame_rate_hz", "hop_ms", "max_lead_seconds", "group_seconds")


def _doubles(*names: str) -> list[tuple[str, Any]]:
    return [(name, c.c_double) for name in names]


class BundleOptions(c.Structure):
    """`cavsync_bundle_options`."""

    _fields_ = (
        ("size", c.c_size_t),
        ("provider", c.c_char_p),
        ("threads", c.c_int32),
        ("engine", c.c_char_p),
        ("device", c.c_int32),
    )


class BundleInfo(c.Structure):
    """`cavsync_bundle_info`."""

    _fields_ = (
        ("size", c.c_size_t),
        ("name", c.c_char * 208),
        *[(name, c.c_char * 16) for name in ("precision", "audio_encoder", "visual_encoder")],
        ("has_faces", c.c_int32),
        *_doubles("window_seconds", "decision_step_seconds", "max_offset_ms"),
        *[(name, c.c_char * 16) for name in ("face_audio_encoder", "face_visual_encoder")],
        ("engine", c.c_char * 32),
        ("provider", c.c_char * 16),
    )


class Options(c.Structure):
    """`cavsync_options`."""

    _fields_ = (
        ("size", c.c_size_t),
        ("path", c.c_int),
        ("profile", c.c_char_p),
        *_doubles("early_ms", "late_ms", *NUMBERS),
        ("keeps_summary", c.c_int32),
        ("begin_after", c.c_size_t),
        ("end_after", c.c_size_t),
        ("follows_events", c.c_int32),
        ("adaptive", c.c_int32),
    )


class Frame(c.Structure):
    """`cavsync_frame`."""

    _fields_ = (
        ("size", c.c_size_t),
        ("format", c.c_int),
        ("width", c.c_int32),
        ("height", c.c_int32),
        ("planes", c.c_void_p * 4),
        ("strides", c.c_int32 * 4),
        ("yuv_matrix", c.c_int),
        ("is_full_range", c.c_int32),
    )


class Record(c.Structure):
    """`cavsync_record`."""

    _fields_ = (
        *_doubles("time_seconds", "window_seconds", "audio_offset_ms", "offset_resolution_ms"),
        *_doubles("suggested_audio_delay_ms", "similarity", "confidence"),
        ("state", c.c_int),
        ("within_profile", c.c_int32),
        ("path", c.c_int),
        ("is_measured", c.c_int32),
        ("profile", c.c_char * 32),
        ("reason", c.c_char * 320),
    )

    def to_score(self, face: FaceView | None = None) -> SyncScore:
        """Return the decision as Python's record, with the face of its window."""

        return SyncScore(
            time_seconds=self.time_seconds,
            window_seconds=self.window_seconds,
            audio_offset_ms=_known(self.audio_offset_ms),
            offset_resolution_ms=_known(self.offset_resolution_ms),
            suggested_audio_delay_ms=_known(self.suggested_audio_delay_ms),
            similarity=_known(self.similarity),
            confidence=_known(self.confidence),
            state=STATES[self.state],
            profile=self.profile.decode(),
            within_profile=None if self.within_profile < 0 else bool(self.within_profile),
            reason=self.reason.decode() or None,
            path=PATHS[self.path],
            is_measured=bool(self.is_measured),
            face=face,
        )


class SeenFace(c.Structure):
    """`cavsync_face`."""

    _fields_ = (
        *[(name, c.c_int32) for name in ("track", "frame_width", "frame_height")],
        *_doubles("left", "top", "right", "bottom", "presence", "frontality", "eye_distance_px"),
        *_doubles("opening_range", "steadiness", "share"),
    )

    def to_view(self) -> FaceView | None:
        """Return the face as Python's, None where no face is judged."""
        if self.track < 0:
            return None
        return FaceView(
            track=self.track,
            box=(self.left, self.top, self.right, self.bottom),
            frame_size=(self.frame_width, self.frame_height),
            presence=self.presence,
            frontality=self.frontality,
            eye_distance_px=self.eye_distance_px,
            # The one NaN that Python's has, too, so that equal faces are equal.
            lips=LipMotion(self.opening_range, math.nan if math.isnan(self.steadiness) else self.steadiness),
            share=self.share,
        )


class Event(c.Structure):
    """`cavsync_event`."""

    _fields_ = (
        *_doubles("start_seconds", "end_seconds", "extreme_ms"),
        ("state", c.c_int),
        ("cause", c.c_int),
    )


class ChangeOfEvent(c.Structure):
    """`cavsync_event_change`."""

    _fields_ = (("event", Event), ("phase", c.c_int))

    def to_change(self) -> EventChange:
        """Return the beginning or end as Python's."""
        event = self.event
        return EventChange(
            phase=PHASES[self.phase],
            state=STATES[event.state],
            start_seconds=event.start_seconds,
            end_seconds=_known(event.end_seconds),
            extreme_ms=event.extreme_ms,
            cause=CAUSES[event.cause],
        )


def _known(value: float) -> float | None:
    """A number, None for NaN."""
    return None if math.isnan(value) else value
