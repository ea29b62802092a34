"""Intervals of means over classes, by resampling the clips behind them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cavsync.evaluate.classify.metrics import d_prime
from cavsync.evaluate.results.intervals import CONFIDENCE
from cavsync.evaluate.results.ranking import Ranking

RESAMPLES = 500
# Drawn at once: some arrays of 8 MB.
BLOCK_CLIPS = 1_000_000

FloatArray = NDArray[np.float64]
Interval = tuple[float | None, float | None]


def class_intervals(
    scores: FloatArray, targets: NDArray[np.bool_], right: FloatArray | None = None, seed: int = 0
) -> dict[str, Interval]:
    """95 % intervals of `map`, `auc`, `d_prime`, as `class_scores` has them, and of `class_accuracy` where `right` (N,)
    says how far each clip is right: RESAMPLES draws of N clips with replacement.

    A class that a draw misses counts in no mean of it. An end is None where it is infinite or nothing is defined.
    """
    clips, random = len(scores), np.random.default_rng(seed)
    block = max(1, min(RESAMPLES, BLOCK_CLIPS // clips))
    parts = [
        _means(scores, targets, right, random.multinomial(clips, np.full(clips, 1 / clips), size=size))
        for size in np.diff([*range(0, RESAMPLES, block), RESAMPLES])
    ]
    means = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: _interval(values) for name, values in (means | {"d_prime": d_prime(means["auc"])}).items()}


def _means(
    scores: FloatArray, targets: NDArray[np.bool_], right: FloatArray | None, counts: NDArray[np.int64]
) -> dict[str, FloatArray]:
    """Means over classes (R,) for each row of `counts` (R, N), how often a draw has each clip."""
    rankings = (Ranking.of(column, wanted, counts) for column, wanted in zip(scores.T, targets.T, strict=True))
    precision, area = np.stack([(each.average_precision(), each.roc_auc()) for each in rankings], axis=-1)
    means = {"map": _mean(precision), "auc": _mean(area)}
    if right is not None:
        means["class_accuracy"] = _mean(_ratio(counts @ (targets * right[:, None]), counts @ targets))
    return means


def _mean(values: FloatArray) -> FloatArray:
    """Over the classes (R, C) that are defined; NaN where none is."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))


def _ratio(part: FloatArray, whole: NDArray[np.int64]) -> FloatArray:
    found: FloatArray = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return found


def _interval(values: FloatArray) -> Interval:
    values = values[~np.isnan(values)]
    if not len(values):
        return None, None
    tail = 50 * (1 - CONFIDENCE)
    # What was found: between infinity and a number there is nothing to interpolate.
    low = float(np.percentile(values, tail, method="lower"))
    high = float(np.percentile(values, 100 - tail, method="higher"))
    return (low, high) if np.isfinite(low) and np.isfinite(high) else (None, None)
