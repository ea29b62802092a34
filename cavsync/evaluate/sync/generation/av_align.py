"""AV-Align: how many onsets of the sound and peaks of the motion coincide, and with other clips' sounds.

Source: Yariv et al., arXiv 2309.16429. Nothing is learned, so the figure does not depend on a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cavsync.evaluate.sync.baseline_inputs import from_time_zero
from cavsync.evaluate.sync.generation.onsets import RATE_HZ, onset_times_seconds
from cavsync.evaluate.sync.generation.optical_flow import MIN_FLOW_PX, FlowMeter, peak_places
from cavsync.media import AudioChunk, MediaReader

CONTROLS_PER_CLIP = 10
HOW = (
    f"onsets by librosa's rule at {RATE_HZ} Hz, and peaks of the mean Farneback flow of {MIN_FLOW_PX} px or more at the"
    " frames' own size; pairs are less than a frame apart, each in one pair; m / (a + v - m); control: the mean over up"
    f" to {CONTROLS_PER_CLIP} sounds of clips of other groups"
)


@dataclass(frozen=True)
class Peaks:
    """Times of a clip's onsets of sound and of its peaks of motion, and when its video ends, in seconds."""

    onsets_seconds: tuple[float, ...]
    motion_seconds: tuple[float, ...]
    frame_period_seconds: float
    end_seconds: float

    @property
    def iou(self) -> float | None:
        """AV-Align; None without onsets or without motion, where nothing can coincide."""
        return intersection_over_union(self.onsets_seconds, self.motion_seconds, self.frame_period_seconds)

    def iou_with(self, other: Peaks) -> float | None:
        """AV-Align with the sound of another clip, over the time that both last."""
        end = min(self.end_seconds, other.end_seconds)
        onsets, motion = (
            [time for time in times if time < end] for times in (other.onsets_seconds, self.motion_seconds)
        )
        return intersection_over_union(onsets, motion, self.frame_period_seconds)


def read_peaks(path: Path) -> Peaks:
    """Find the peaks of a clip. Raises MediaError for one that cannot be read, ModuleNotFoundError without OpenCV."""
    flow, times, chunks = FlowMeter(), [], []
    with MediaReader(path, sample_rate_hz=RATE_HZ) as reader:
        for item in reader:
            if isinstance(item, AudioChunk):
                chunks.append(item)
            else:
                flow.push(item.rgb)
                times.append(item.pts_seconds)
    onsets = onset_times_seconds(from_time_zero(chunks, RATE_HZ))
    period_seconds = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return Peaks(
        tuple(onsets.tolist()),
        tuple(times[place] for place in peak_places(flow.flow_px)),
        period_seconds,
        times[-1] + period_seconds,
    )


def intersection_over_union(
    onsets_seconds: Sequence[float], motion_seconds: Sequence[float], period_seconds: float
) -> float | None:
    """Return m / (a + v - m) of a onsets and v peaks of motion, both ascending, of which m pairs coincide: less than a
    frame period apart, each in one pair at most. None where there are no onsets or no peaks of motion."""
    if not onsets_seconds or not motion_seconds:
        return None
    matched, free = 0, 0
    for onset in onsets_seconds:
        while free < len(motion_seconds) and motion_seconds[free] <= onset - period_seconds:
            free += 1
        if free < len(motion_seconds) and motion_seconds[free] < onset + period_seconds:
            matched, free = matched + 1, free + 1
    return matched / (len(onsets_seconds) + len(motion_seconds) - matched)


def shuffled_ious(clips: Sequence[Peaks], groups: Sequence[str], seed: int) -> list[float | None]:
    """Return, for each clip, its mean AV-Align with the sounds of up to `CONTROLS_PER_CLIP` clips of other groups,
    drawn from the seed; None where none can be measured."""
    random = np.random.default_rng(seed)
    found: list[float | None] = []
    for clip, group in zip(clips, groups, strict=True):
        others = [other for other, of in zip(clips, groups, strict=True) if of != group]
        drawn = random.permutation(len(others))[:CONTROLS_PER_CLIP]
        ious = [iou for place in drawn if (iou := clip.iou_with(others[place])) is not None]
        found.append(sum(ious) / len(ious) if ious else None)
    return found
