"""Figures of the test of 21 classes, and of absolute offsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from cavsync.evaluate.results.group_intervals import share_of_groups, statistic_of_groups
from cavsync.evaluate.results.intervals import Share
from cavsync.evaluate.sync.absolute_offset import AbsoluteOffset
from cavsync.evaluate.sync.measure import ClipResult
from cavsync.evaluate.sync.offset_classes import CLASS_STEP_MS


def class_figures(clips: Sequence[ClipResult]) -> dict[str, Any]:
    """Return by method the `accuracy` and the `accuracy_within_1` class, one value per clip, over the trials for which
    the clip is long enough for all methods."""
    tested = [clip for clip in clips if clip.classes]
    methods = list(tested[0].classes) if tested else []
    return {
        method: {
            name: asdict(_accuracy(tested, method, steps))
            for name, steps in (("accuracy", 0), ("accuracy_within_1", 1))
        }
        for method in methods
    }


def _accuracy(clips: Sequence[ClipResult], method: str, steps: int) -> Share:
    values, groups = [], []
    for clip in clips:
        shared = set.intersection(*({trial.true_class for trial in found} for found in clip.classes.values()))
        near = [trial.steps_off <= steps for trial in clip.classes[method] if trial.true_class in shared]
        if near:
            values.append(float(np.mean(near)))
            groups.append(clip.case.group)
    return share_of_groups(np.array(values), np.array(groups, dtype=np.str_))


def absolute_figures(clips: Sequence[ClipResult]) -> dict[str, Any]:
    """Return by bundle `seconds`, the mean absolute offset of clips with evidence, the shares of their windows in class
    0 (`at_zero`) and at most one class from it (`within_1`), and the share of clips without evidence
    (`no_evidence`)."""
    tested = [clip for clip in clips if clip.absolute]
    groups = np.array([clip.case.group for clip in tested], dtype=np.str_)
    figures = {}
    for method in tested[0].absolute if tested else ():
        found = [clip.absolute[method] for clip in tested]

        def near(most_seconds: float, found: Sequence[AbsoluteOffset] = found) -> dict[str, Any]:
            values = [
                float(np.mean(np.array(one.answered) <= most_seconds + 1e-9)) if one.answered else np.nan
                for one in found
            ]
            return asdict(share_of_groups(np.array(values), groups))

        seconds = np.array([np.nan if one.seconds is None else one.seconds for one in found])
        known = ~np.isnan(seconds)
        figures[method] = {
            "seconds": asdict(statistic_of_groups(seconds[known], groups[known], lambda values: float(values.mean())))
            if known.any()
            else asdict(Share(None, None, None, 0)),
            "at_zero": near(0.0),
            "within_1": near(CLASS_STEP_MS / 1000),
            "no_evidence": asdict(share_of_groups((~known).astype(np.float64), groups)),
        }
    return figures
