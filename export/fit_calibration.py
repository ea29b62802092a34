"""Fit a calibration on windows with known errors: probability, threshold, zero point and resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.export.logistic import fit_logistic, sigmoid
from cavsync.manifest import Calibration

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# All of them rise with the clarity of the peak, for any typical similarity, so their weights may not be negative.
FEATURES = ("peak_z", "margin_z", "sharpness_z", "agreement", "log_frames")
TOLERANCE_MS = 120.0
LOWEST_THRESHOLD = 0.5
FOLDS = 5
MIN_RESOLUTION_MS = 5.0


@dataclass(frozen=True)
class Goal:
    """The requirements of a calibration, and the features that it uses.

    precision: least share of right ones among the accepted. max_false_accepted: largest share of accepted ones among
    those without a right answer. highest_threshold: taken if none reaches both. features: to weigh. unsolvable_share:
    how many of the examples are to count as without a right answer; None takes them as they are. has_zero_point:
    whether a common error of all clips is the model's; otherwise it is taken to be the footage's.
    """

    precision: float = 0.9
    max_false_accepted: float = 0.1
    highest_threshold: float = 0.95
    features: tuple[str, ...] = FEATURES
    unsolvable_share: float | None = None
    has_zero_point: bool = True


@dataclass(frozen=True)
class Examples:
    """Windows: features (n, F), signed errors in ms (NaN if no peak can be right) and clip numbers (n,)."""

    features: FloatArray
    errors_ms: FloatArray
    clips: NDArray[np.int64]

    @property
    def right(self) -> BoolArray:
        """Whether each peak lies within the tolerance of the truth, (n,)."""
        return np.abs(np.nan_to_num(self.errors_ms, nan=np.inf)) <= TOLERANCE_MS


@dataclass(frozen=True)
class CalibrationReport:
    """A calibration and its results on clips that it was not fitted on: the shares of windows accepted if a right
    answer exists and if none exists, and the share of right ones among all accepted windows."""

    calibration: Calibration
    accepted_share: float
    false_accepted_share: float
    precision: float


def fit(examples: Examples, *, source: str, goal: Goal = Goal()) -> CalibrationReport:
    """Fit a logistic regression; threshold and shares come from cross-validation over clips."""
    right = examples.right
    solvable = np.isfinite(examples.errors_ms)
    counts = _counts(solvable, goal)
    weights, bias = fit_logistic(examples.features, right, counts)
    unseen = _across_clips(examples, counts)
    threshold = _threshold(unseen, right, solvable, goal)
    accepted = unseen >= threshold
    trusted = accepted & right if (accepted & right).any() else right
    errors_ms, clips = examples.errors_ms[trusted], examples.clips[trusted]
    zero_point_ms = _zero_point_ms(errors_ms, clips) if goal.has_zero_point else 0.0
    spread_ms = float(np.median(np.abs(errors_ms - zero_point_ms)))
    calibration = Calibration(
        features=list(goal.features),
        weights=[round(float(weight), 6) for weight in weights],
        bias=round(bias, 6),
        threshold=round(threshold, 4),
        tolerance_ms=TOLERANCE_MS,
        resolution_ms=float(math.ceil(max(MIN_RESOLUTION_MS, spread_ms))),
        zero_point_ms=round(zero_point_ms, 2),
        num_clips=len(np.unique(examples.clips)),
        num_windows=len(right),
        source=source,
        max_frames=_max_frames(examples, weights, goal),
    )
    return CalibrationReport(
        calibration, _share(accepted, solvable), _share(accepted, ~solvable), _share(right, accepted, counts)
    )


def _max_frames(examples: Examples, weights: FloatArray, goal: Goal) -> int | None:
    """Return the number of frames of the longest example; None where it is not weighed."""
    place = goal.features.index("log_frames") if "log_frames" in goal.features else None
    if place is None or round(float(weights[place]), 6) == 0:
        return None
    return round(math.exp(float(examples.features[:, place].max())))


def _across_clips(examples: Examples, counts: FloatArray) -> FloatArray:
    """Predict the probability of every window by a fit on other clips (cross-validation)."""
    right, clips = examples.right, np.unique(examples.clips, return_inverse=True)[1]
    predicted = np.full(len(right), right.mean())
    for fold in range(FOLDS):
        test = clips % FOLDS == fold
        if test.any() and (~test).any():
            weights, bias = fit_logistic(examples.features[~test], right[~test], counts[~test])
            predicted[test] = sigmoid(examples.features[test] @ weights + bias)
    return predicted


def _counts(solvable: BoolArray, goal: Goal) -> FloatArray:
    """Return how often each example counts."""
    share = goal.unsolvable_share
    if share is None or solvable.all() or not solvable.any():
        return np.ones(len(solvable))
    return np.where(solvable, (1 - share) / solvable.mean(), share / (~solvable).mean())


def _threshold(probabilities: FloatArray, right: BoolArray, solvable: BoolArray, goal: Goal) -> float:
    """Return the smallest threshold that reaches the goal."""
    counts = _counts(solvable, goal)
    for threshold in np.arange(LOWEST_THRESHOLD, goal.highest_threshold, 0.01):
        accepted = probabilities >= threshold
        precise = accepted.any() and (counts * right)[accepted].sum() >= goal.precision * counts[accepted].sum()
        if precise and _share(accepted, ~solvable) <= goal.max_false_accepted:
            return float(threshold)
    return goal.highest_threshold


def _zero_point_ms(errors_ms: FloatArray, clips: NDArray[np.int64]) -> float:
    """Return the median of the clips' median errors, or 0 if it may be chance. Errors within a clip are alike, so the
    sample size is the number of clips."""
    medians = np.array([np.median(errors_ms[clips == clip]) for clip in np.unique(clips)])
    centre = float(np.median(medians))
    deviation = 1.4826 * float(np.median(np.abs(medians - centre)))
    standard_error = 1.2533 * deviation / math.sqrt(len(medians))
    return 0.0 if abs(centre) <= 2 * standard_error else centre


def _share(of: BoolArray, among: BoolArray, counts: FloatArray | None = None) -> float:
    return float(np.average(of[among], weights=None if counts is None else counts[among])) if among.any() else 0.0
