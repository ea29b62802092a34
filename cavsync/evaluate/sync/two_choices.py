"""Two choices: which is in sync, a clip or the same clip with its audio shifted? Answered from the curve of a file."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

FloatArray = NDArray[np.float64]
TWO_CHOICE_SHIFTS_MS = (50.0, 100.0, 200.0, 300.0, 500.0)
MIN_LAGS = 4


def two_choice_credit(lags_ms: FloatArray, similarity: FloatArray, true_lag_ms: float, shift_ms: float) -> float:
    """Return the share of right choices between the similarity at the true lag and `shift_ms` before and after it.

    The curve (n,) is interpolated by a cubic spline through the lags that count (not NaN). Equal similarities are half
    right; a direction beyond these lags is left out; NaN where both are, or where fewer than four lags count.
    """
    known = np.flatnonzero(np.isfinite(similarity))
    if len(known) < MIN_LAGS:
        return math.nan
    places = true_lag_ms + np.array([0.0, -shift_ms, shift_ms])
    in_sync, *shifted = CubicSpline(lags_ms[known], similarity[known], extrapolate=False)(places)
    credits = [0.5 if in_sync == other else float(in_sync > other) for other in shifted if math.isfinite(other)]
    return float(np.mean(credits)) if credits and math.isfinite(in_sync) else math.nan
