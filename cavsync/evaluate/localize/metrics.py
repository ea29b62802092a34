"""How well a heat map finds an object: pixel-wise average precision, IoU over thresholds, cIoU and its success ratio.

The first two are the protocol of ADE20K_Sound (DenseAV, arXiv 2406.05629): all pixels of all pictures of one class are
pooled, and classes are averaged. The last two are that of VGG-SS and Flickr-SoundNet (arXiv 2104.02691): one number per
picture. All of them refuse values that are not finite.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.errors import DataError
from cavsync.evaluate.results.ranking import Ranking

IOU_THRESHOLDS = 20
SUCCESS_THRESHOLDS = tuple(step / 20 for step in range(21))
CIOU_SUCCESS = 0.5

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]


def pixel_ranking(scores: FloatArray, mask: BoolArray) -> Ranking:
    """Pixels ranked by their heat, those of the mask wanted. Any equal shapes; float32 takes half of the memory.

    Raises DataError for scores that are not finite, shapes that differ, or a mask without an object, where no recall is
    defined.
    """
    _require_finite(scores)
    if scores.shape != mask.shape:
        raise DataError(f"Scores of shape {scores.shape} came with a mask of {mask.shape}: give one score per pixel.")
    if not mask.any():
        raise DataError("The mask holds no pixel of the object: no precision is defined, leave the class out.")
    return Ranking.of(scores.ravel(), mask.ravel())


def best_iou(ranking: Ranking, num_thresholds: int = IOU_THRESHOLDS) -> float:
    """Highest intersection over union of the pixels above t with the mask, over equally spaced t from the lowest to the
    highest score."""
    return float(ious(ranking, np.linspace(ranking.scores[-1], ranking.scores[0], num_thresholds)).max())


def ious(ranking: Ranking, thresholds: FloatArray) -> NDArray[np.float64]:
    """Intersection over union of the pixels whose score is > t with the mask, for each t of `thresholds`."""
    # Bisection one by one: numpy's would copy all scores to float64.
    above = [bisect_left(ranking.scores, -float(t), key=lambda score: -float(score)) for t in thresholds]
    # Nothing is above the highest score: the place before the first.
    hits, chosen = (np.where(above, counts[np.array(above) - 1], 0) for counts in (ranking.hits, ranking.chosen))
    found: NDArray[np.float64] = hits / (chosen + ranking.hits[-1] - hits)
    return found


def above_median(heat: FloatArray) -> BoolArray:
    """The half of the pixels that is hotter than the upper median, as VGG-SS's public evaluation takes it; where many
    pixels share the median fewer are taken, none of a map that is the same everywhere."""
    _require_finite(heat)
    flat = np.sort(heat, axis=None)
    return np.asarray(heat > flat[flat.size // 2])


def consensus_iou(found: BoolArray, weights: FloatArray) -> float:
    """cIoU of the pixels `found` with a map of how far annotators agree, `weights` in 0..1, of the same shape.

    Agreement found, over all agreement plus the pixels found where nobody saw the object (Senocak et al. 2018,
    arXiv 1803.03849). Raises DataError where weights are outside 0..1, not finite, or nowhere above 0.
    """
    _require_finite(weights)
    if weights.min() < 0 or weights.max() > 1 or not weights.any():
        raise DataError("A consensus map must lie in 0..1 and mark the object somewhere: correct the annotation.")
    return float(weights[found].sum() / (weights.sum() + (found & (weights == 0)).sum()))


def success_ratios(cious: Sequence[float] | FloatArray) -> NDArray[np.float64]:
    """Share of pictures whose cIoU reaches each of SUCCESS_THRESHOLDS (0, 0.05, ... 1)."""
    values = np.asarray(cious, dtype=np.float64)
    _require_finite(values)
    ratios: NDArray[np.float64] = (values[:, None] >= np.asarray(SUCCESS_THRESHOLDS)).mean(axis=0)
    return ratios


def success_auc(cious: Sequence[float] | FloatArray) -> float:
    """Area under the success ratio over the threshold, by trapezoids, in 0..1."""
    ratios = success_ratios(cious)
    return float((ratios[1:] + ratios[:-1]).sum() / 2 / (len(SUCCESS_THRESHOLDS) - 1))


def consensus_map(boxes: Sequence[Sequence[float]], size: int, needed: int = 1) -> NDArray[np.float64]:
    """Map (size, size) in 0..1 of boxes (left, top, right, bottom) in shares of the picture: how many of them hold the
    pixel, over the number `needed` for full weight, at most 1. VGG-SS unites its boxes (1), Flickr needs 2.

    Edges are rounded down to pixels. Raises DataError for a box that is not four finite numbers.
    """
    weights = np.zeros((size, size))
    for box in boxes:
        edges = np.asarray(box, dtype=np.float64)
        if edges.shape != (4,) or not np.isfinite(edges).all():
            raise DataError(f"The box {box!r:.80} is not left, top, right and bottom: correct the annotation.")
        left, top, right, bottom = (size * np.clip(edges, 0, 1)).astype(int)
        weights[top:bottom, left:right] += 1
    return np.minimum(weights / needed, 1.0)


def _require_finite(values: FloatArray) -> None:
    if not values.size or not np.isfinite(values).all():
        raise DataError("A heat map or annotation is empty or holds a value that is not finite: no score is given.")
