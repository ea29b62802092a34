"""Sample instants of a clip: a tubelet of frames and the segment of audio around its middle frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cavsync.data.clip import Clip
from cavsync.data.segments import AudioSegments, cut_segments
from cavsync.errors import MediaError
from cavsync.media.align import (
    FRAME_SHIFT_SECONDS,
    even_indices,
    nearest_index,
    published_start_frames,
    segment_start_frame,
    tubelet_times_seconds,
)

Instants = NDArray[np.int64]
SegmentRule = Literal["by-time", "published"]
"""How the audio segment of a frame is found: centred on the frame's time, or by its number as in the public code."""


@dataclass(frozen=True)
class SamplePlan:
    """What to sample from each clip.

    segment_frames, num_frames, frame_step_seconds: the model's input. instants: number of instants per clip.
    spacing_seconds: time between them; 0 draws them at random from the whole clip. pad: move segments that reach beyond
    the audio inside it, or pad them with zeros if it is too short, as upstream does; otherwise only instants whose
    segment lies inside the audio are used. published_frames: follow the public code of CAV-MAE and CAV-MAE Sync: use so
    many evenly spaced frames per clip only, and give each its segment by its number (`published_start_frames`),
    whatever its time; None places segments by time.
    """

    segment_frames: int
    num_frames: int
    frame_step_seconds: float
    instants: int = 1
    spacing_seconds: float = 0.0
    pad: bool = False
    published_frames: int | None = None


@dataclass(frozen=True)
class Sample:
    """K instants of one clip: the U distinct `frames` (U, 3, S, S) uint8, `tubelets` (K, T), which index them, the
    segments of `audio`, and `times_seconds` (K,)."""

    frames: NDArray[np.uint8]
    tubelets: NDArray[np.int64]
    audio: AudioSegments
    times_seconds: NDArray[np.float64]


def usable_instants(clip: Clip, plan: SamplePlan) -> Instants:
    """Return the indices of the frames whose segment lies inside the audio, or of all frames if `plan.pad`.

    Raises:
        MediaError: there are fewer than `plan.instants`.
    """
    if plan.published_frames is not None:
        return np.unique(even_indices(clip.pts_seconds, plan.published_frames))
    if plan.pad or clip.segment_starts is not None:
        return np.arange(len(clip.frames))
    starts = _starts_by_time(clip, clip.pts_seconds, plan)
    inside = np.flatnonzero((starts >= 0) & (starts + plan.segment_frames <= len(clip.audio)))
    if len(inside) < plan.instants:
        raise MediaError(
            f"{clip.source} is too short: {len(inside)} frames have a complete segment of "
            f"{plan.segment_frames * FRAME_SHIFT_SECONDS:.2f} s of audio around them, {plan.instants} are needed: give "
            "a longer clip or ask for fewer instants",
            reason="too_short",
        )
    return inside


def draw_instants(clip: Clip, plan: SamplePlan, random: np.random.Generator) -> Instants:
    """Draw the indices of `plan.instants` frames, in the order of time. Raises MediaError as `usable_instants` does."""
    usable = usable_instants(clip, plan)
    if plan.instants == 1:
        return random.choice(usable, size=1)
    times = clip.pts_seconds[usable]
    span_seconds = (plan.instants - 1) * plan.spacing_seconds
    if plan.spacing_seconds == 0.0 or times[-1] - times[0] < span_seconds:
        replace = len(usable) < plan.instants
        return np.sort(random.choice(usable, size=plan.instants, replace=replace))
    first_seconds = random.uniform(times[0], times[-1] - span_seconds)
    wanted = first_seconds + np.arange(plan.instants) * plan.spacing_seconds
    return usable[nearest_index(times, wanted)]


def take_sample(clip: Clip, instants: Instants, plan: SamplePlan, *, as_samples: bool = False) -> Sample:
    """Cut the tubelets and segments of the frames `instants` (K,) out of the clip; `as_samples` as in
    `cut_segments`."""
    times = clip.pts_seconds[instants]
    wanted = instants[:, None]
    if plan.num_frames > 1:
        tubelet_seconds = tubelet_times_seconds(times, plan.num_frames, plan.frame_step_seconds)
        wanted = nearest_index(clip.pts_seconds, tubelet_seconds)
    # Neighbouring tubelets share frames, so each distinct frame is decoded and augmented once.
    used, places = np.unique(wanted, return_inverse=True)
    audio = take_segments(clip, instants, plan, as_samples=as_samples)
    return Sample(clip.frames[used], places.reshape(wanted.shape), audio, times)


def take_segments(clip: Clip, instants: Instants, plan: SamplePlan, *, as_samples: bool = False) -> AudioSegments:
    """Cut the segments of the frames `instants` (K,) out of the clip's audio; `as_samples` as in `cut_segments`."""
    return cut_segments(clip.audio, _starts(clip, instants, plan), plan.segment_frames, as_samples=as_samples)


def _starts(clip: Clip, instants: Instants, plan: SamplePlan) -> Instants:
    """Return the first log-mel frame of the segment of each of the frames `instants`."""
    if plan.published_frames is not None:
        # In a clip with fewer frames than that, a frame has several numbers; the first of them counts.
        numbers = np.searchsorted(even_indices(clip.pts_seconds, plan.published_frames), instants)
        return published_start_frames(plan.published_frames, plan.segment_frames)[numbers]
    if clip.segment_starts is not None:
        starts = clip.segment_starts[instants]
    else:
        starts = _starts_by_time(clip, clip.pts_seconds[instants], plan)
    return np.clip(starts, 0, max(0, len(clip.audio) - plan.segment_frames)) if plan.pad else starts


def _starts_by_time(clip: Clip, times_seconds: NDArray[np.float64], plan: SamplePlan) -> Instants:
    return segment_start_frame(times_seconds - clip.audio_start_seconds, plan.segment_frames)
