"""Figures of the test of 21 classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from cavsync.evaluate.results.group_intervals import share_of_groups
from cavsync.evaluate.results.intervals import Share
from cavsync.evaluate.sync.measure import ClipResult


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
