"""The structures of cavsync.h, for `cavsync.deploy.native`."""

from __future__ import annotations

import ctypes as c
import math
from typing import Any

from cavsync.deploy.stream.options import AUTO
from cavsync.deploy.verdict.records import AUDIO_EARLY, AUDIO_LATE, FACE, IN_SYNC, UNDETERMINED, WHOLE, SyncScore

# By the values of enumerations in cavsync.h.
STATES = (UNDETERMINED, IN_SYNC, AUDIO_EARLY, AUDIO_LATE)
PATHS = (AUTO, WHOLE, FACE)
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

    def to_score(self) -> SyncScore:
        """Return the decision as Python's record."""

        def known(value: float) -> float | None:
            return None if math.isnan(value) else value

        return SyncScore(
            time_seconds=self.time_seconds,
            window_seconds=self.window_seconds,
            audio_offset_ms=known(self.audio_offset_ms),
            offset_resolution_ms=known(self.offset_resolution_ms),
            suggested_audio_delay_ms=known(self.suggested_audio_delay_ms),
            similarity=known(self.similarity),
            confidence=known(self.confidence),
            state=STATES[self.state],
            profile=self.profile.decode(),
            within_profile=None if self.within_profile < 0 else bool(self.within_profile),
            reason=self.reason.decode() or None,
            path=PATHS[self.path],
            is_measured=bool(self.is_measured),
        )
