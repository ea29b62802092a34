"""Figures of classification: average precision, area under the ROC curve, d', accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from cavsync.errors import DataError
from cavsync.ranking import Ranking

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ClassScores:
    """Figures of each class (C,): `average_precision`, NaN for a class without clips; `auc`, NaN also for a class of
    all clips; `positives`, its number of clips."""

    average_precision: FloatArray
    auc: FloatArray
    positives: NDArray[np.int64]

    @property
    def mean_average_precision(self) -> float | None:
        """Mean over the classes that have a clip; None if there is none."""
        return _mean(self.average_precision)

    @property
    def mean_auc(self) -> float | None:
        """Mean over the classes for which it is defined; None if there is none."""
        return _mean(self.auc)

    @property
    def d_prime(self) -> float | None:
        """`d_prime` of the mean AUC; None if it is infinite or undefined."""
        area = self.mean_auc
        value = float(d_prime(np.array(area))) if area is not None else math.inf
        return value if math.isfinite(value) else None


def d_prime(auc: FloatArray) -> FloatArray:
    """Return the distance of two unit normal distributions with this AUC, infinite for 0 and 1. Source: Hershey et al.
    2017, arXiv 1609.09430."""
    distance: FloatArray = math.sqrt(2) * norm.ppf(auc)
    return distance


def class_scores(scores: FloatArray, targets: NDArray[np.bool_]) -> ClassScores:
    """Compute the figures of each class from `scores` (N, C), real numbers that are higher for likelier classes, and
    `targets` (N, C).

    Tied scores share a threshold. Raises DataError for scores that are not finite, empty, or of another shape.
    """
    _check(scores, targets)
    rankings = [Ranking.of(column, wanted) for column, wanted in zip(scores.T, targets.T, strict=True)]
    return ClassScores(
        np.array([float(ranking.average_precision()) for ranking in rankings]),
        np.array([float(ranking.roc_auc()) for ranking in rankings]),
        targets.sum(axis=0, dtype=np.int64),
    )


def top_k_credit(scores: FloatArray, classes: NDArray[np.int64], k: int = 1) -> FloatArray:
    """Return for each clip (N,) the probability that its class (N,) is among the k highest of `scores` (N, C) with ties
    broken at random: 1 or 0 without ties; a model that scores all classes equally gets chance level.

    Raises DataError for scores that are not finite, or a class without a score.
    """
    if not np.isfinite(scores).all() or not ((classes >= 0) & (classes < scores.shape[1])).all():
        raise DataError("Scores are not finite, or a class has no score: train or convert the model again")
    own = scores[np.arange(len(scores)), classes][:, None]
    above, level = (scores > own).sum(axis=1), (scores == own).sum(axis=1)
    credit: FloatArray = np.clip((k - above) / level, 0.0, 1.0)
    return credit


def _mean(values: FloatArray) -> float | None:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None


def _check(scores: FloatArray, targets: NDArray[np.bool_]) -> None:
    if scores.ndim != 2 or scores.shape != targets.shape or not scores.size:
        raise DataError(f"Scores {scores.shape} and targets {targets.shape} differ or are empty: score some clips")
    if not np.isfinite(scores).all():
        clip, label = np.argwhere(~np.isfinite(scores))[0]
        raise DataError(f"The score of clip {clip} for class {label} is not finite: train or convert the model again")
