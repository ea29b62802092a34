"""Draw instants from a clip: a tubelet of frames and the segment of audio that belongs to it, several at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.data.clip import Clip
from cavsync.data.segments import AudioSegments, cut
from cavsync.errors import MediaError
from cavsync.media.align import (
    FRAME_SHIFT_SECONDS,
    nearest_index,
    segment_start_frame,
    tubelet_times_seconds,
)

Instants = NDArray[np.int64]


@dataclass(frozen=True)
class SamplePlan:
    """What to draw from each clip.

    instants: how many. spacing_seconds: between neighbours, 0 spreads them over the whole clip at random.
    pad: segments that reach beyond the audio are pushed inside or padded with zeros, as upstream does; otherwise only
    instants whose segment lies inside count. segment_frames, num_frames, frame_step_seconds: the model's input.
    """

    segment_frames: int
    num_frames: int
    frame_step_seconds: float
    instants: int = 1
    spacing_seconds: float = 0.0
    pad: bool = False


@dataclass(frozen=True)
class Sample:
    """K instants of one clip: `frames` (U, 3, S, S) uint8, each once; `tubelets` (K, T), which of them make up each
    instant; `audio`, the segments of L frames; `times_seconds` (K,)."""

    frames: NDArray[np.uint8]
    tubelets: NDArray[np.int64]
    audio: AudioSegments
    times_seconds: NDArray[np.float64]


def usable_instants(clip: Clip, plan: SamplePlan) -> Instants:
    """Indices of the frames whose segment of audio lies inside the clip (all of them where `plan.pad`).

    Raises:
        MediaError: too few for the plan.
    """
    if plan.pad or clip.segment_starts is not None:
        return np.arange(len(clip.frames))
    starts = _starts(clip, clip.pts_seconds, plan)
    inside = np.flatnonzero((starts >= 0) & (starts + plan.segment_frames <= len(clip.audio)))
    if len(inside) < plan.instants:
        raise MediaError(
            f"{clip.source} is too short: {len(inside)} frames have a whole segment of "
            f"{plan.segment_frames * FRAME_SHIFT_SECONDS:.2f} s of audio around them, {plan.instants} are needed: give "
            "a longer clip or ask for fewer instants",
            reason="too_short",
        )
    return inside


def draw_instants(clip: Clip, plan: SamplePlan, random: np.random.Generator) -> Instants:
    """Indices of `plan.instants` frames in the order of time."""
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


def take(clip: Clip, instants: Instants, plan: SamplePlan, *, as_samples: bool = False) -> Sample:
    """Cut the tubelets and segments of the frames `instants` out of the clip; the audio as for `segments.cut`."""
    times = clip.pts_seconds[instants]
    wanted = instants[:, None]
    if plan.num_frames > 1:
        tubelet_seconds = tubelet_times_seconds(times, plan.num_frames, plan.frame_step_seconds)
        wanted = nearest_index(clip.pts_seconds, tubelet_seconds)
    # Neighbouring tubelets share frames: each is decoded, changed and moved once.
    used, places = np.unique(wanted, return_inverse=True)
    starts = _starts(clip, times, plan) if clip.segment_starts is None else clip.segment_starts[instants]
    if plan.pad:
        starts = np.clip(starts, 0, max(0, len(clip.audio) - plan.segment_frames))
    audio = cut(clip.audio, starts, plan.segment_frames, as_samples=as_samples)
    return Sample(clip.frames[used], places.reshape(wanted.shape), audio, times)


def _starts(clip: Clip, times_seconds: NDArray[np.float64], plan: SamplePlan) -> Instants:
    return segment_start_frame(times_seconds - clip.audio_start_seconds, plan.segment_frames)
