"""How well scores tell classes apart: average precision, area under the ROC curve, d', accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from cavsync.errors import DataError
from cavsync.evaluate.results.ranking import Ranking

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ClassScores:
    """Of each class (C,): `average_precision`, NaN without a clip of the class; `auc`, NaN also where every clip is of
    the class; `positives`, its number of clips."""

    average_precision: FloatArray
    auc: FloatArray
    positives: NDArray[np.int64]

    @property
    def mean_average_precision(self) -> float | None:
        """mAP over the classes that have a clip; None without any."""
        return _mean(self.average_precision)

    @property
    def mean_auc(self) -> float | None:
        """Mean over the classes for which it is defined; None without any."""
        return _mean(self.auc)

    @property
    def d_prime(self) -> float | None:
        """`d_prime` of the mean AUC; None where it is infinite, or nothing is defined."""
        area = self.mean_auc
        value = float(d_prime(np.array(area))) if area is not None else math.inf
        return value if math.isfinite(value) else None


def d_prime(auc: FloatArray) -> FloatArray:
    """Distance of two unit normals that overlap as the AUC says, infinite for 0 and 1. Source: Hershey et al. 2017,
    arXiv 1609.09430."""
    distance: FloatArray = math.sqrt(2) * norm.ppf(auc)
    return distance


def class_scores(scores: FloatArray, targets: NDArray[np.bool_]) -> ClassScores:
    """Per-class figures of `scores` (N, C), any real numbers of which higher means likelier, and `targets` (N, C).

    Tied scores share a threshold. Raises DataError where scores are not finite, shapes differ, or nothing was scored.
    """
    _check(scores, targets)
    rankings = [Ranking.of(column, wanted) for column, wanted in zip(scores.T, targets.T, strict=True)]
    return ClassScores(
        np.array([float(ranking.average_precision()) for ranking in rankings]),
        np.array([float(ranking.roc_auc()) for ranking in rankings]),
        targets.sum(axis=0, dtype=np.int64),
    )


def top_k_credit(scores: FloatArray, classes: NDArray[np.int64], k: int = 1) -> FloatArray:
    """For each clip (N,) the chance that its class (N,) is among the k highest of `scores` (N, C), where ties are
    broken at random: 1 or 0 without ties, so that equal scores for all earn chance and no more.

    Raises DataError where scores are not finite or a class is not there.
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
