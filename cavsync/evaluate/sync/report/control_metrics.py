"""Figures of the control with other clips' sounds, and of the variants of the picture, as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.evaluate.results.group_intervals import share_of_groups, statistic_of_groups
from cavsync.evaluate.sync.judges import Answer
from cavsync.evaluate.sync.measure import ClipResult, SwappedTrial

LARGEST_MOVEMENT_MS = 20.0
PERCENTILES = (50, 90, 99)


def wrong_sound_figures(clips: Sequence[ClipResult]) -> dict[str, Any]:
    """Return by method, over the clips with another clip's sound: `clips`, `sound_is_shorter` (how many),
    `decided` (every one is wrong), the percentiles `confidence_p50`, `_p90` and `_p99`, and all `confidences`."""
    tested = [(clip, clip.swapped) for clip in clips if clip.swapped is not None]
    methods = list(tested[0][1].answers) if tested else []
    return {method: _control(tested, method) for method in methods}


def _control(tested: Sequence[tuple[ClipResult, SwappedTrial]], method: str) -> dict[str, Any]:
    answers = [swapped.answers[method] for _, swapped in tested]
    seen = np.array([answer.has_face for answer in answers])
    groups = np.array([clip.case.group for clip, _ in tested], dtype=np.str_)
    decided = np.array([float(bool(answer.decided)) if answer.has_face else np.nan for answer in answers])
    confidence = np.array([np.nan if answer.confidence is None else answer.confidence for answer in answers])
    known = confidence[np.isfinite(confidence)]
    return {
        "clips": int(seen.sum()),
        "no_face": int((~seen).sum()),
        "sound_is_shorter": sum(swapped.is_shorter for _, swapped in tested),
        "decided": asdict(share_of_groups(decided, groups)),
        **{f"confidence_p{p}": float(np.percentile(known, p)) if len(known) else None for p in PERCENTILES},
        "confidences": sorted(known.tolist()),
    }


def variant_figures(clips: Sequence[ClipResult]) -> dict[str, Any]:
    """Return by method and variant, over the clips that are decided unchanged, how far the offset moves:

    `clips`, `median_movement_ms` and `p95_movement_ms` over those still decided, the shares `became_undetermined` and
    `moved` (decided, by more than 20 ms).
    """
    tested = [clip for clip in clips if clip.variants]
    methods = list(tested[0].variants[""]) if tested else []
    names = list(dict.fromkeys(name for clip in tested for name in clip.variants if name))
    return {method: {name: _movement(tested, method, name) for name in names} for method in methods}


def movement_ms(unchanged: Answer, changed: Answer) -> float:
    """Return the absolute movement of a decided offset; NaN where the change made it undetermined."""
    if not changed.decided or changed.estimate_ms is None or unchanged.estimate_ms is None:
        return np.nan
    return abs(changed.estimate_ms - unchanged.estimate_ms)


def _movement(clips: Sequence[ClipResult], method: str, name: str) -> dict[str, Any]:
    compared = [clip for clip in clips if name in clip.variants and clip.variants[""][method].decided]
    moved = np.array([movement_ms(clip.variants[""][method], clip.variants[name][method]) for clip in compared])
    groups = np.array([clip.case.group for clip in compared], dtype=np.str_)
    return {
        "clips": len(compared),
        "median_movement_ms": asdict(statistic_of_groups(moved, groups, _percentile(50))),
        "p95_movement_ms": asdict(statistic_of_groups(moved, groups, _percentile(95))),
        "became_undetermined": asdict(share_of_groups(np.isnan(moved).astype(np.float64), groups)),
        "moved": asdict(share_of_groups((moved > LARGEST_MOVEMENT_MS).astype(np.float64), groups)),
    }


def _percentile(percent: float) -> Any:
    def statistic(values: NDArray[np.float64]) -> float:
        return float(np.percentile(values, percent))

    return statistic
