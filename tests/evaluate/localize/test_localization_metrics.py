"""Localisation metrics against scikit-learn, torchmetrics and loops, on random and on hostile inputs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import auc, average_precision_score
from torchmetrics.functional.classification import binary_average_precision, binary_jaccard_index

from cavsync.errors import DataError
from cavsync.evaluate.localize.metrics import (
    above_median,
    best_iou,
    consensus_iou,
    consensus_map,
    ious,
    pixel_ranking,
    success_auc,
    success_ratios,
)

# Few distinct values, so that ties are the rule.
TIED = arrays(np.float32, (6, 7), elements=st.sampled_from([-1.0, -0.25, 0.0, 0.5, 0.75]))
FREE = arrays(np.float32, (6, 7), elements=st.floats(-1, 1, width=32))
MASKS = arrays(np.bool_, (6, 7))


@settings(max_examples=150, deadline=None)
@given(st.one_of(TIED, FREE), MASKS)
def test_average_precision_is_scikit_learn_s(scores: np.ndarray, mask: np.ndarray) -> None:
    if not mask.any():
        with pytest.raises(DataError, match="no pixel of the object"):
            pixel_ranking(scores, mask)
        return
    found = pixel_ranking(scores, mask).average_precision()
    assert found == pytest.approx(average_precision_score(mask.ravel(), scores.ravel()), abs=1e-9)
    # torchmetrics squeezes what is outside 0..1 through a sigmoid: it gets ranks in 0..1, which order alike.
    ranks = np.unique(scores, return_inverse=True)[1].reshape(scores.shape) / scores.size
    expected = binary_average_precision(torch.tensor(ranks), torch.tensor(mask).long())
    assert found == pytest.approx(float(expected), abs=1e-5)


@settings(max_examples=100, deadline=None)
@given(MASKS.filter(np.any), st.floats(-1, 1, width=32))
def test_all_ties_are_worth_the_share_of_the_object(mask: np.ndarray, value: float) -> None:
    """A map that is the same everywhere ranks nothing: its precision is the object's share, however it is sorted."""
    scores = np.full(mask.shape, value, dtype=np.float32)
    assert pixel_ranking(scores, mask).average_precision() == pytest.approx(mask.mean())
    assert best_iou(pixel_ranking(scores, mask)) == 0.0
    assert not above_median(scores).any()


@settings(max_examples=150, deadline=None)
@given(st.one_of(TIED, FREE), MASKS.filter(np.any), st.integers(1, 25))
def test_iou_over_thresholds_is_counted(scores: np.ndarray, mask: np.ndarray, count: int) -> None:
    thresholds = np.linspace(scores.min(), scores.max(), count)
    expected = []
    for threshold in thresholds:
        chosen = scores > threshold
        united = (chosen | mask).sum()
        expected.append((chosen & mask).sum() / united)
        if chosen.any():
            jaccard = binary_jaccard_index(torch.tensor(chosen).long(), torch.tensor(mask).long())
            assert expected[-1] == pytest.approx(float(jaccard), abs=1e-6)
    ranking = pixel_ranking(scores, mask)
    assert ious(ranking, thresholds) == pytest.approx(expected)
    assert best_iou(ranking, count) == pytest.approx(max(expected))


def test_a_perfect_map_is_perfect() -> None:
    mask = np.zeros((10, 10), dtype=bool)
    mask[2:5, 3:9] = True
    heat = mask.astype(np.float32)
    assert pixel_ranking(heat, mask).average_precision() == 1.0
    assert best_iou(pixel_ranking(heat, mask)) == 1.0
    # A worst map: every other pixel comes first.
    worst = pixel_ranking(-heat, mask).average_precision()
    assert worst == pytest.approx(average_precision_score(mask.ravel(), -heat.ravel()))


@settings(max_examples=100, deadline=None)
@given(st.one_of(TIED, FREE), arrays(np.float64, (6, 7), elements=st.sampled_from([0.0, 0.5, 1.0])))
def test_ciou_is_the_public_formula(scores: np.ndarray, weights: np.ndarray) -> None:
    """Pixel by pixel: agreement that was found, over all agreement and what was found where nobody agreed."""
    found = above_median(scores)
    median = sorted(scores.ravel().tolist())[scores.size // 2]
    assert found.tolist() == [[value > median for value in row] for row in scores.tolist()]
    if not weights.any():
        with pytest.raises(DataError, match="consensus map"):
            consensus_iou(found, weights)
        return
    inside = sum(w for f, w in zip(found.ravel(), weights.ravel(), strict=True) if f)
    outside = sum(1 for f, w in zip(found.ravel(), weights.ravel(), strict=True) if f and w == 0)
    assert consensus_iou(found, weights) == pytest.approx(inside / (weights.sum() + outside))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.15, 0.3, 0.5, 1.0])), min_size=1, max_size=30))
def test_success_ratio_and_its_area(cious: list[float]) -> None:
    thresholds = [step / 20 for step in range(21)]
    expected = [sum(value >= threshold for value in cious) / len(cious) for threshold in thresholds]
    assert success_ratios(cious).tolist() == pytest.approx(expected)
    assert success_auc(cious) == pytest.approx(auc(thresholds, expected))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    scores = np.zeros((3, 3), dtype=np.float32)
    scores[1, 1] = bad
    mask = np.eye(3, dtype=bool)
    with pytest.raises(DataError, match="not finite"):
        pixel_ranking(scores, mask)
    with pytest.raises(DataError, match="not finite"):
        above_median(scores)
    with pytest.raises(DataError, match="not finite"):
        consensus_iou(mask, scores)
    with pytest.raises(DataError, match="not finite"):
        success_auc([0.5, bad])


def test_shapes_and_empty_inputs_are_refused() -> None:
    with pytest.raises(DataError, match="one score per pixel"):
        pixel_ranking(np.zeros((3, 3)), np.ones((3, 4), dtype=bool))
    with pytest.raises(DataError, match="empty"):
        pixel_ranking(np.zeros(0), np.zeros(0, dtype=bool))
    with pytest.raises(DataError, match="empty"):
        success_auc([])
    with pytest.raises(DataError, match=r"0\.\.1"):
        consensus_iou(np.ones((2, 2), dtype=bool), np.full((2, 2), 1.5))


def test_consensus_of_boxes() -> None:
    """Two boxes that overlap in a quarter: united they weigh 1 each, needing two only the overlap has full weight."""
    boxes = [[0.0, 0.0, 0.5, 0.5], [0.25, 0.25, 0.75, 0.75]]
    united, agreed = consensus_map(boxes, 8), consensus_map(boxes, 8, needed=2)
    assert united.sum() == 16 + 16 - 4
    assert (agreed == 1).sum() == 4
    assert (agreed == 0.5).sum() == 24
    # Left before right: the first coordinate runs along the columns.
    assert consensus_map([[0.5, 0.0, 1.0, 0.25]], 4).tolist() == [[0, 0, 1, 1], [0] * 4, [0] * 4, [0] * 4]
    assert not consensus_map([[0.3, 1.0, 0.7, 1.0]], 8).any()
    assert consensus_map([[-0.5, -1, 2, 2]], 4).all()
    for box in ([0, 0, 1], [0, 0, np.nan, 1]):
        with pytest.raises(DataError, match="left, top, right and bottom"):
            consensus_map([box], 8)
