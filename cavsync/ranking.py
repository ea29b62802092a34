"""Metrics of a ranking by score: average precision and the area under the ROC curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """`scores` (K,): distinct scores in descending order. `hits` and `chosen` (..., K): how many of the wanted
    items, and of all, have at least that score. Tied items are chosen together."""

    scores: NDArray[np.floating[Any]]
    hits: NDArray[np.int64]
    chosen: NDArray[np.int64]

    @classmethod
    def of(
        cls, scores: NDArray[np.floating[Any]], wanted: NDArray[np.bool_], counts: NDArray[np.int64] | None = None
    ) -> Self:
        """Rank `scores` (N,) of items that are `wanted` (N,) or not.

        counts (..., N): how often each item counts, by default once; leading axes are as many rankings.
        """
        order = np.argsort(-scores, kind="stable")
        ranked, found = scores[order], wanted[order]
        ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        if counts is None:
            return cls(ranked[ends], np.cumsum(found, dtype=np.int64)[ends], ends + 1)
        counts = counts[..., order]
        return cls(ranked[ends], np.cumsum(counts * found, axis=-1)[..., ends], np.cumsum(counts, axis=-1)[..., ends])

    def average_precision(self) -> FloatArray:
        """Area under precision over recall (...): the sum over thresholds of the gain in recall times the precision
        there, not interpolated; NaN where nothing is wanted."""
        precision = self.hits / np.maximum(self.chosen, 1)
        return _share((np.diff(self.hits, prepend=0) * precision).sum(axis=-1), self.hits[..., -1])

    def roc_auc(self) -> FloatArray:
        """Probability (...) that a wanted item ranks above an unwanted one, ties counting half; NaN where one kind is
        missing."""
        misses = self.chosen - self.hits
        above = self.hits - np.diff(self.hits, prepend=0) / 2
        area = (np.diff(misses, prepend=0) * above).sum(axis=-1)
        return _share(area, self.hits[..., -1] * misses[..., -1])


def _share(part: FloatArray, whole: NDArray[np.int64]) -> FloatArray:
    found: FloatArray = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
    return found
