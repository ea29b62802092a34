"""Confidence intervals of shares that are measured on clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Share:
    """A mean over clips with its 95 % interval, and the number of clips behind it; None where there is none."""

    mean: float | None
    low: float | None
    high: float | None
    clips: int


def share_of_clips(values: Sequence[float], seed: int = 0) -> Share:
    """Mean of one value per clip. The interval resamples clips, because the trials of one clip depend on each other."""
    found = np.asarray(values, dtype=np.float64)
    if not len(found):
        return Share(None, None, None, 0)
    mean = float(found.mean())
    if len(found) == 1:
        return Share(mean, None, None, 1)
    interval = bootstrap(
        (found,),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Share(mean, float(interval.low), float(interval.high), len(found))
