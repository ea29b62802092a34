"""Windows of a clip's face track on the model's grid of frames, with the log-mel that belongs to them.

Frame i of a window lies at `start + i * tempo / frame_rate`. The model's k-th pair of embeddings sees the frames k to
k + num_frames - 1, and the `segment_frames` log-mel frames centred on the middle one of those.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from cavsync.data.faces.face_clip import FaceClip
from cavsync.data.logmel import log_mel
from cavsync.errors import MediaError
from cavsync.media.align import (
    FRAME_LENGTH_SAMPLES,
    FRAME_SHIFT_SAMPLES,
    FRAME_SHIFT_SECONDS,
    SAMPLE_RATE_HZ,
    segment_center_seconds,
)
from cavsync.media.face import MAX_GAP_SECONDS
from cavsync.media.mouth import lip_features

# Times that differ by less are the same: rounding must not cost a frame.
TIME_TOLERANCE_SECONDS = 1e-6


@dataclass(frozen=True)
class WindowPlan:
    """The windows to take: `frames` frames at `frame_rate_hz`, fewer of shorter clips, but at least `min_frames`.

    num_frames, segment_frames: what one pair of the model's embeddings sees, in frames and in log-mel frames.
    """

    frames: int
    min_frames: int
    frame_rate_hz: float
    num_frames: int
    segment_frames: int

    @property
    def log_mel_per_frame(self) -> int:
        """Log-mel frames from one frame to the next."""
        return round(1 / (FRAME_SHIFT_SECONDS * self.frame_rate_hz))

    @property
    def audio_lead_seconds(self) -> float:
        """Time from a window's first frame to the centre of its first log-mel frame, at normal tempo."""
        return (self.num_frames // 2) / self.frame_rate_hz - (self.segment_frames - 1) / 2 * FRAME_SHIFT_SECONDS

    def num_pairs(self, frames: int) -> int:
        """Pairs of embeddings that a window of `frames` frames gives."""
        return frames - self.num_frames + 1

    def num_log_mel(self, frames: int) -> int:
        """Log-mel frames that belong to a window of `frames` frames."""
        return self.log_mel_per_frame * (self.num_pairs(frames) - 1) + self.segment_frames


@dataclass(frozen=True)
class TimedClip:
    """What the model sees of a clip, by time: `landmarks` (n, L) and `mouths` (n, S * S) of the frames at
    `times_seconds` (n,), and raw `log_mel` (m, 128) of audio that starts at `audio_start_seconds`."""

    source: str
    times_seconds: NDArray[np.float64]
    landmarks: NDArray[np.float32]
    mouths: NDArray[np.uint8]
    log_mel: NDArray[np.float32]
    audio_start_seconds: float

    @classmethod
    def of(cls, clip: FaceClip) -> TimedClip:
        """Compute the features of a clip."""
        return cls(
            source=clip.source,
            times_seconds=clip.track.times_seconds,
            landmarks=lip_features(clip.track.points.astype(np.float64)),
            mouths=clip.track.mouths.reshape(len(clip.track), -1),
            log_mel=log_mel(torch.from_numpy(clip.samples.copy())).numpy(),
            audio_start_seconds=clip.audio_start_seconds,
        )

    def with_audio_delayed(self, seconds: float) -> TimedClip:
        """Return the clip with its audio played `seconds` later."""
        return replace(self, audio_start_seconds=self.audio_start_seconds + seconds)

    def stretches(self) -> list[tuple[float, float]]:
        """Return first and last time of each stretch of frames without a longer gap."""
        breaks = np.flatnonzero(np.diff(self.times_seconds) > MAX_GAP_SECONDS)
        firsts = self.times_seconds[np.concatenate([[0], breaks + 1])]
        lasts = self.times_seconds[np.concatenate([breaks, [len(self.times_seconds) - 1]])]
        return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


@dataclass(frozen=True)
class Place:
    """Where a window lies: time of its first frame, number of frames, and tempo (above 1: sped up)."""

    start_seconds: float
    frames: int
    tempo: float = 1.0


@dataclass(frozen=True)
class Window:
    """T frames and their log-mel: `landmarks` (T, L), `mouths` (T, S * S) of 0..255, raw `log_mel` (M, 128)."""

    landmarks: NDArray[np.float32]
    mouths: NDArray[np.float32]
    log_mel: NDArray[np.float32]


def usable_spans(clip: TimedClip, plan: WindowPlan, tempo: float = 1.0) -> list[tuple[float, float]]:
    """Return the spans of time whose frames and audio are complete and long enough for `min_frames` frames.

    Raises MediaError of reason `too_short` where there are none.
    """
    lead = plan.audio_lead_seconds * tempo
    first, last = clip.audio_start_seconds + segment_center_seconds(np.array([0, len(clip.log_mel) - 1]), 1)
    shortest = (plan.min_frames - 1) * tempo / plan.frame_rate_hz
    spans = [(max(begin, float(first) - lead), min(end, float(last) + lead)) for begin, end in clip.stretches()]
    found = [span for span in spans if span[1] - span[0] >= shortest - TIME_TOLERANCE_SECONDS]
    if not found:
        raise MediaError(
            f"{clip.source} is too short: its main face and audio are there for less than {shortest:.1f} s without a "
            "break: give a longer clip",
            reason="too_short",
        )
    return found


def draw_place(clip: TimedClip, plan: WindowPlan, tempo: float, random: np.random.Generator) -> Place:
    """Draw a window; every moment of the usable spans is about equally likely. MediaError as for `usable_spans`."""
    spans = usable_spans(clip, plan, tempo)
    lengths = np.array([end - begin for begin, end in spans])
    begin, end = spans[int(random.choice(len(spans), p=lengths / lengths.sum()))]
    step = tempo / plan.frame_rate_hz
    frames = min(plan.frames, int((end - begin + TIME_TOLERANCE_SECONDS) / step) + 1)
    room = max(0.0, end - begin - (frames - 1) * step)
    return Place(begin + float(random.uniform(0, 1)) * room, frames, tempo)


def longest_place(clip: TimedClip, plan: WindowPlan) -> Place:
    """Return the window of all of the longest usable span. MediaError as for `usable_spans`."""
    begin, end = max(usable_spans(clip, plan), key=lambda span: span[1] - span[0])
    return Place(begin, int((end - begin + TIME_TOLERANCE_SECONDS) * plan.frame_rate_hz) + 1)


def cut_window(clip: TimedClip, plan: WindowPlan, place: Place, margin: int = 0) -> Window:
    """Interpolate the frames and the log-mel of a window; the log-mel covers `margin` more frames on either side."""
    times = place.start_seconds + np.arange(place.frames) * place.tempo / plan.frame_rate_hz
    frames = np.interp(times, clip.times_seconds, np.arange(len(clip.times_seconds)))
    return Window(
        interpolate(clip.landmarks, frames),
        interpolate(clip.mouths, frames),
        interpolate(clip.log_mel, _log_mel_places(clip, plan, place, margin)),
    )


def inside_audio(clip: TimedClip, plan: WindowPlan, place: Place, margin: int) -> NDArray[np.bool_]:
    """Return for each audio embedding of a window with this margin whether all that it sees lies inside the audio."""
    places = _log_mel_places(clip, plan, place, margin)
    firsts = places[: len(places) - plan.segment_frames + 1 : plan.log_mel_per_frame]
    lasts = places[plan.segment_frames - 1 :: plan.log_mel_per_frame]
    inside: NDArray[np.bool_] = (firsts > -1) & (lasts < len(clip.log_mel))
    return inside


def _log_mel_places(clip: TimedClip, plan: WindowPlan, place: Place, margin: int) -> NDArray[np.float64]:
    """Return the fractional indices of a window's log-mel frames in the clip's."""
    numbers = np.arange(plan.num_log_mel(place.frames + 2 * margin)) - plan.log_mel_per_frame * margin
    centres = plan.audio_lead_seconds + numbers * FRAME_SHIFT_SECONDS
    samples = (place.start_seconds + place.tempo * centres - clip.audio_start_seconds) * SAMPLE_RATE_HZ
    places: NDArray[np.float64] = (samples - FRAME_LENGTH_SAMPLES / 2) / FRAME_SHIFT_SAMPLES
    return places


def interpolate(values: NDArray[np.float32] | NDArray[np.uint8], places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return values (n, C) at fractional indices `places` (k,) as (k, C); ends are held."""
    places = np.clip(places, 0, len(values) - 1)
    before = np.minimum(places.astype(np.int64), max(0, len(values) - 2))
    share = (places - before).astype(np.float32)[:, None]
    after = np.minimum(before + 1, len(values) - 1)
    found: NDArray[np.float32] = values[before].astype(np.float32) * (1 - share) + values[after] * share
    return found
