"""Confidence intervals of statistics over clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

RESAMPLES = 2000
# For statistics without vectorised resampling.
STATISTIC_RESAMPLES = 1000
CONFIDENCE = 0.95
# Resampled values held at a time, 16 MB: all resamples of many clips would take gigabytes.
BATCH_VALUES = 2**21


@dataclass(frozen=True)
class Share:
    """A mean or median over clips, its 95 % interval, and the number of clips; None if it cannot be computed."""

    mean: float | None
    low: float | None
    high: float | None
    clips: int


def share_of_clips(
    values: Sequence[float] | NDArray[np.float64], seed: int = 0, statistic: Callable[..., Any] = np.mean
) -> Share:
    """Mean, or np.median, of one value per clip. The interval resamples clips, because the trials of one clip depend on
    each other.

    If all clips agree, the bootstrap interval has no width. A share of 0 or 1 then gets the exact Clopper-Pearson
    interval (1934); other values get none.
    """
    found = np.asarray(values, dtype=np.float64)
    if not len(found):
        return Share(None, None, None, 0)
    value = float(statistic(found))
    if len(found) == 1:
        return Share(value, None, None, 1)
    if (found == found[0]).all():
        return unanimous(value, len(found), is_share=statistic is np.mean and value in (0.0, 1.0))
    interval = bootstrap(
        (found,),
        statistic,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        batch=max(1, BATCH_VALUES // len(found)),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Share(value, float(interval.low), float(interval.high), len(found))


def unanimous(value: float, count: int, *, is_share: bool) -> Share:
    """Return the share of `count` values that agree, with the exact interval if `is_share`, else with none."""
    if not is_share:
        return Share(value, None, None, count)
    nearest = float(((1 - CONFIDENCE) / 2) ** (1 / count))
    return Share(value, nearest, 1.0, count) if value else Share(value, 0.0, 1 - nearest, count)


def ends(resampled: NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of the percentile interval of a statistic's resamples (R,)."""
    low, high = np.percentile(resampled, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return float(low), float(high)


def statistic_over_clips(
    clips: Sequence[NDArray[np.float64]], statistic: Callable[[NDArray[np.float64]], float], seed: int = 0
) -> Share:
    """Any statistic of the rows of all clips together, such as a median, with an interval that resamples whole clips.

    clips: an array (n, ...) of rows each, n >= 0. Values and ends that are not finite become None.
    """
    filled = [rows for rows in clips if len(rows)]
    if not filled:
        return Share(None, None, None, 0)
    value = _finite(statistic(np.concatenate(filled)))
    if len(filled) == 1:
        return Share(value, None, None, 1)
    random = np.random.default_rng(seed)
    found = [
        statistic(np.concatenate([filled[place] for place in random.integers(len(filled), size=len(filled))]))
        for _ in range(STATISTIC_RESAMPLES)
    ]
    # "lower" and "higher" return sampled values: an infinite one cannot be interpolated.
    tail = 50 * (1 - CONFIDENCE)
    low = _finite(float(np.percentile(found, tail, method="lower")))
    high = _finite(float(np.percentile(found, 100 - tail, method="higher")))
    known = low is not None and high is not None
    return Share(value, low if known else None, high if known else None, len(filled))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
