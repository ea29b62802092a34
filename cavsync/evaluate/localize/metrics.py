"""Figures of heat maps: pixel-wise average precision, best IoU over thresholds, cIoU and its success ratio.

The first two follow ADE20K_Sound (DenseAV, arXiv 2406.05629): all pixels of all images of a class are pooled, and
classes are averaged. The last two follow VGG-SS and Flickr-SoundNet (arXiv 2104.02691): one number per image. All of
them raise DataError for values that are not finite.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.errors import DataError
from cavsync.ranking import Ranking

IOU_THRESHOLDS = 20
SUCCESS_THRESHOLDS = tuple(step / 20 for step in range(21))
CIOU_SUCCESS = 0.5

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]


def pixel_ranking(scores: FloatArray, mask: BoolArray) -> Ranking:
    """Rank pixels by their heat, with those of the mask as the wanted ones. Shapes are equal and otherwise arbitrary.

    Raises DataError for scores that are not finite, shapes that differ, or a mask without an object, for which recall
    is undefined.
    """
    _require_finite(scores)
    if scores.shape != mask.shape:
        raise DataError(f"Scores of shape {scores.shape} came with a mask of {mask.shape}: give one score per pixel.")
    if not mask.any():
        raise DataError("The mask holds no pixel of the object, so precision is undefined: leave the class out.")
    return Ranking.of(scores.ravel(), mask.ravel())


def best_iou(ranking: Ranking, num_thresholds: int = IOU_THRESHOLDS) -> float:
    """Return the highest intersection over union of the pixels above t with the mask, over equally spaced thresholds t
    from the lowest to the highest score."""
    return float(ious(ranking, np.linspace(ranking.scores[-1], ranking.scores[0], num_thresholds)).max())


def ious(ranking: Ranking, thresholds: FloatArray) -> NDArray[np.float64]:
    """Return the intersection over union of the pixels with a score > t with the mask, for each t of `thresholds`."""
    # numpy's bisection would copy all scores to float64.
    above = [bisect_left(ranking.scores, -float(t), key=lambda score: -float(score)) for t in thresholds]
    # No pixel is above the highest score, whose position is 0.
    hits, chosen = (np.where(above, counts[np.array(above) - 1], 0) for counts in (ranking.hits, ranking.chosen))
    found: NDArray[np.float64] = hits / (chosen + ranking.hits[-1] - hits)
    return found


def above_median(heat: FloatArray) -> BoolArray:
    """Return the pixels hotter than the upper median, as VGG-SS's published evaluation does: half of them, fewer if
    many pixels equal the median, none of a constant map."""
    _require_finite(heat)
    flat = np.sort(heat, axis=None)
    return np.asarray(heat > flat[flat.size // 2])


def consensus_iou(found: BoolArray, weights: FloatArray) -> float:
    """Return the cIoU of the pixels `found` with the annotators' agreement, `weights` in 0..1, of the same shape.

    It is the weight found, divided by the total weight plus the number of pixels found with weight 0 (Senocak et al.
    2018, arXiv 1803.03849). Raises DataError for weights outside 0..1, not finite, or all 0.
    """
    _require_finite(weights)
    if weights.min() < 0 or weights.max() > 1 or not weights.any():
        raise DataError("A consensus map must lie in 0..1 and mark the object somewhere: correct the annotation.")
    return float(weights[found].sum() / (weights.sum() + (found & (weights == 0)).sum()))


def success_ratios(cious: Sequence[float] | FloatArray) -> NDArray[np.float64]:
    """Return the share of images whose cIoU reaches each of SUCCESS_THRESHOLDS (0, 0.05, ... 1)."""
    values = np.asarray(cious, dtype=np.float64)
    _require_finite(values)
    ratios: NDArray[np.float64] = (values[:, None] >= np.asarray(SUCCESS_THRESHOLDS)).mean(axis=0)
    return ratios


def success_auc(cious: Sequence[float] | FloatArray) -> float:
    """Return the area under the success ratio over the threshold, by trapezoids, in 0..1."""
    ratios = success_ratios(cious)
    return float((ratios[1:] + ratios[:-1]).sum() / 2 / (len(SUCCESS_THRESHOLDS) - 1))


def consensus_map(boxes: Sequence[Sequence[float]], size: int, needed: int = 1) -> NDArray[np.float64]:
    """Return the map (size, size) of the boxes (left, top, right, bottom), in shares of the image: the number of boxes
    that contain a pixel, divided by the number `needed` for full weight, at most 1. VGG-SS needs 1, Flickr 2.

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
        raise DataError(
            "A heat map or annotation is empty or holds a value that is not finite: check the annotation and the model."
        )
