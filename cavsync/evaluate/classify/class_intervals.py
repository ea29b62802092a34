"""Confidence intervals of means over classes, by bootstrap over the clips."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cavsync.evaluate.classify.metrics import d_prime
from cavsync.evaluate.results.intervals import CONFIDENCE
from cavsync.ranking import Ranking

RESAMPLES = 500
# Draws are made in blocks of this many clips, which need a few arrays of 8 MB.
BLOCK_CLIPS = 1_000_000

FloatArray = NDArray[np.float64]
Interval = tuple[float | None, float | None]


def class_intervals(
    scores: FloatArray, targets: NDArray[np.bool_], credit: FloatArray | None = None, seed: int = 0
) -> dict[str, Interval]:
    """Return the 95 % intervals of `map`, `auc` and `d_prime`, as `class_scores` defines them, and, with the `credit`
    (N,) of each clip's first choice, of `class_accuracy`, from RESAMPLES draws of N clips with replacement.

    A class without a clip in a draw is left out of that draw's means. An interval that is infinite or undefined is
    (None, None).
    """
    clips, random = len(scores), np.random.default_rng(seed)
    block = max(1, min(RESAMPLES, BLOCK_CLIPS // clips))
    parts = [
        _means(scores, targets, credit, random.multinomial(clips, np.full(clips, 1 / clips), size=size))
        for size in np.diff([*range(0, RESAMPLES, block), RESAMPLES])
    ]
    means = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: _interval(values) for name, values in (means | {"d_prime": d_prime(means["auc"])}).items()}


def _means(
    scores: FloatArray, targets: NDArray[np.bool_], credit: FloatArray | None, counts: NDArray[np.int64]
) -> dict[str, FloatArray]:
    """Return the means over classes (R,) for each row of `counts` (R, N), how often a draw contains each clip."""
    rankings = (Ranking.of(column, wanted, counts) for column, wanted in zip(scores.T, targets.T, strict=True))
    precision, area = np.stack([(each.average_precision(), each.roc_auc()) for each in rankings], axis=-1)
    means = {"map": _mean(precision), "auc": _mean(area)}
    if credit is not None:
        means["class_accuracy"] = _mean(_ratio(counts @ (targets * credit[:, None]), counts @ targets))
    return means


def _mean(values: FloatArray) -> FloatArray:
    """Return the mean (R,) over the classes (R, C) that are not NaN; NaN if all are."""
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
    # No interpolation, which is undefined between infinity and a number.
    low = float(np.percentile(values, tail, method="lower"))
    high = float(np.percentile(values, 100 - tail, method="higher"))
    return (low, high) if np.isfinite(low) and np.isfinite(high) else (None, None)
