"""Shares and means with intervals that resample groups: clips of one speaker or recording depend on each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cavsync.evaluate.results.intervals import RESAMPLES, Share, ends, statistic_over_clips, unanimous

FloatArray = NDArray[np.float64]
Groups = NDArray[np.str_]


def resampled_sums(values: FloatArray, groups: Groups, seed: int = 0) -> FloatArray | None:
    """Return the sums over rows of `values` (n, k) for resamples (R, k) of whole groups (n,); None for one group."""
    names, places = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return None
    totals = np.zeros((len(names), values.shape[1]))
    np.add.at(totals, places, values)
    sums: FloatArray = _resamples(len(names), seed) @ totals
    return sums


@lru_cache(maxsize=64)
def _resamples(num_groups: int, seed: int) -> FloatArray:
    """Return how often each resample (R, groups) has each group."""
    counts = np.random.default_rng(seed).multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=RESAMPLES)
    return counts.astype(np.float64)


def share_of_groups(values: FloatArray, groups: Groups, seed: int = 0) -> Share:
    """Return the mean of `values` (n,) that are not NaN, with an interval that resamples whole groups (n,).

    `clips` is the number of values. If all agree on 0 or 1, the interval is the exact one for as many groups.
    """
    known = np.isfinite(values)
    found, of = values[known], groups[known]
    if not len(found):
        return Share(None, None, None, 0)
    value, count = float(found.mean()), len(found)
    if (found == found[0]).all():
        number = len(np.unique(of))
        agreed = unanimous(value, number, is_share=value in (0.0, 1.0) and number > 1)
        return Share(value, agreed.low, agreed.high, count)
    sums = resampled_sums(np.column_stack([found, np.ones(count)]), of, seed)
    return Share(value, None, None, count) if sums is None else Share(value, *ends(sums[:, 0] / sums[:, 1]), count)


def statistic_of_groups(
    values: FloatArray, groups: Groups, statistic: Callable[[FloatArray], float], seed: int = 0
) -> Share:
    """Return a statistic of `values` (n,) that are not NaN, with an interval that resamples whole groups (n,)."""
    known = ~np.isnan(values)
    found, of = values[known], groups[known]
    share = statistic_over_clips([found[of == name] for name in np.unique(of)], statistic, seed)
    return Share(share.mean, share.low, share.high, len(found))
