"""The places of a video at which a sound fits best, and whether the best one stands out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

SEPARATION_SECONDS = 0.5
"""Places closer than this count as one."""
MIN_COMPARED, MAX_COMPARED = 10, 20
"""Gaps between other places that tell how large the one below the best place may be by chance."""
MIN_CONFIDENCE = 0.99


@dataclass(frozen=True)
class Place:
    """The sound begins `video_seconds` after time 0 of the video. `score`: its mean similarity with what is seen."""

    video_seconds: float
    score: float


@dataclass(frozen=True)
class Placement:
    """`places`, the best first; `margin` is the score between the first two. `state` is found or undetermined, with
    the `reason`.

    `confidence` is the share of wrong sounds whose best place would stand out less; None where there is too little to
    compare with.
    """

    state: str
    reason: str | None
    places: tuple[Place, ...]
    margin: float | None = None
    confidence: float | None = None


def placed(seconds: FloatArray, scores: FloatArray, num_places: int) -> Placement:
    """Judge a curve of scores (n,) over places at `seconds` (n,) ascending; return the `num_places` best."""
    best = peaks(seconds, scores, max(num_places, MAX_COMPARED + 3))
    shown = tuple(best[:num_places])
    if len(best) < 2:
        return Placement("undetermined", "the video is hardly longer than the sound", shown)
    margin = best[0].score - best[1].score
    if len(best) < MIN_COMPARED + 3:
        reason = f"the video has only {len(best)} places to compare, {MIN_COMPARED + 3} are needed: give a longer one"
        return Placement("undetermined", reason, shown, margin)
    confidence = 1 - chance([place.score for place in best])
    if confidence < MIN_CONFIDENCE:
        return Placement("undetermined", "other places fit nearly as well", shown, margin, confidence)
    return Placement("found", None, shown, margin, confidence)


def peaks(seconds: FloatArray, scores: FloatArray, count: int) -> list[Place]:
    """Return the `count` highest places that exceed their neighbours and are `SEPARATION_SECONDS` apart, each moved to
    the top of the parabola through it and its neighbours."""
    around = np.pad(scores.astype(np.float64), 1, constant_values=-np.inf)
    left = np.where((scores >= around[:-2]) & (scores >= around[2:]), scores, -np.inf)
    found: list[Place] = []
    while len(found) < count and len(left) and np.isfinite(left.max()):
        top = int(left.argmax())
        found.append(_between(seconds, scores, top))
        left[np.abs(seconds - seconds[top]) < SEPARATION_SECONDS] = -np.inf
    return found


def chance(scores: list[float]) -> float:
    """Return the probability that the best of `scores` (descending) is so far above the second by chance.

    The gaps between the highest of many values with an exponential tail, times their rank, are independent and of one
    exponential distribution (Renyi 1953), so the first in relation to the mean of others follows an F distribution.
    The second gap is not among the others: another place that fits well must not hide how large the first one is.
    """
    gaps = np.arange(1, len(scores)) * -np.diff(scores)
    others = gaps[2 : MAX_COMPARED + 2]
    mean = float(others.mean())
    if mean <= 0:
        return 0.0 if gaps[0] > 0 else 1.0
    return float((1 + gaps[0] / mean / len(others)) ** -len(others))


def _between(seconds: FloatArray, scores: FloatArray, top: int) -> Place:
    if 0 < top < len(scores) - 1:
        before, here, after = scores[top - 1 : top + 2]
        bend = before - 2 * here + after
        step = seconds[top + 1] - seconds[top]
        if bend < 0 and np.isclose(step, seconds[top] - seconds[top - 1]):
            return Place(float(seconds[top] + step * 0.5 * (before - after) / bend), float(here))
    return Place(float(seconds[top]), float(scores[top]))
