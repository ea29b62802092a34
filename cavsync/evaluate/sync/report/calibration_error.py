"""Expected calibration error (ECE) of confidences, with an interval that resamples groups of clips."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cavsync.evaluate.results.group_intervals import resampled_sums
from cavsync.evaluate.results.intervals import Share, ends
from cavsync.evaluate.results.reliability import NUM_BINS

FloatArray = NDArray[np.float64]


def calibration_error(confidence: FloatArray, right: FloatArray, groups: NDArray[np.str_]) -> Share:
    """Return the ECE of confidences (n,) in 0..1 and outcomes (n,), 0 or 1, in ten bins of equal width (low, high].

    It is the mean over the decisions of the distance between the mean confidence and the share right of their bin
    (Guo et al., arXiv 1706.04599). None without confidences; no interval for a single group.
    """
    if not len(confidence):
        return Share(None, None, None, 0)
    edges = np.linspace(0.0, 1.0, NUM_BINS + 1)
    places = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, NUM_BINS - 1)
    # A bin of n decisions contributes n * |mean confidence - share right| = |sum of the differences|.
    gaps = np.where(places[:, None] == np.arange(NUM_BINS), (confidence - right)[:, None], 0.0)
    value = float(np.abs(gaps.sum(axis=0)).sum() / len(confidence))
    sums = resampled_sums(np.column_stack([gaps, np.ones(len(gaps))]), groups)
    if sums is None:
        return Share(value, None, None, len(confidence))
    return Share(value, *ends(np.abs(sums[:, :-1]).sum(axis=1) / sums[:, -1]), len(confidence))
