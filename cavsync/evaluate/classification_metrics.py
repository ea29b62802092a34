"""How well scores tell classes apart: average precision, area under the ROC curve, d', accuracy."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from torchmetrics.functional.classification import multilabel_auroc, multilabel_average_precision

from cavsync.errors import DataError

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
        """Distance of two unit normals whose overlap has the mean AUC: sqrt(2) times its quantile.

        None where it is infinite (an AUC of 0 or 1), or nothing is defined. Source: Hershey et al. 2017,
        arXiv 1609.09430.
        """
        area = self.mean_auc
        value = math.sqrt(2) * float(norm.ppf(area)) if area is not None else math.inf
        return value if math.isfinite(value) else None


def class_scores(scores: FloatArray, targets: NDArray[np.bool_]) -> ClassScores:
    """Per-class figures of `scores` (N, C), any real numbers of which higher means likelier, and `targets` (N, C).

    Tied scores share a threshold. The average precision is the step-wise sum, not interpolated (torchmetrics and
    scikit-learn alike). Raises DataError where scores are not finite, shapes differ, or nothing was scored.
    """
    _check(scores, targets)
    # Ranks in place of values: the same order and ties, and no rounding to float32 that would make new ties.
    ranks = torch.from_numpy(np.stack([np.unique(column, return_inverse=True)[1] for column in scores.T], axis=1))
    # Between 0 and 1, where torchmetrics applies no sigmoid of its own.
    values, wanted = (ranks.double() + 1) / (len(ranks) + 2), torch.from_numpy(targets).long()
    positives = targets.sum(axis=0)
    with warnings.catch_warnings():
        # It warns of classes without clips, which become NaN here.
        warnings.simplefilter("ignore", UserWarning)
        if scores.shape[1] == 1:
            values, wanted = values.repeat(1, 2), wanted.repeat(1, 2)
        precision = multilabel_average_precision(values, wanted, num_labels=values.shape[1], average=None)
        area = multilabel_auroc(values, wanted, num_labels=values.shape[1], average=None)
    count = scores.shape[1]
    none, all_of_them = positives == 0, positives == len(targets)
    return ClassScores(
        # Its float32 sums reach just beyond 1.
        np.where(none, np.nan, np.minimum(1.0, precision.double().numpy()[:count])),
        np.where(none | all_of_them, np.nan, area.double().numpy()[:count]),
        positives.astype(np.int64),
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
