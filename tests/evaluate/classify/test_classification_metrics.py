"""Figures of classification against scikit-learn, torchmetrics and brute force, on random and adversarial inputs."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.functional.classification import multiclass_accuracy, multilabel_average_precision

from cavsync.errors import DataError
from cavsync.evaluate.classify.metrics import class_scores, top_k_credit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def random_case(seed: int, clips: int = 40, classes: int = 5, levels: int | None = None) -> tuple[Floats, Bools]:
    """Scores, with few distinct values where `levels` is given, and targets."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=(clips, classes))
    if levels is not None:
        scores = random.integers(levels, size=(clips, classes)).astype(float)
    return scores, random.random((clips, classes)) < 0.3


def brute_auc(scores: Floats, wanted: Bools) -> float:
    """Chance that a positive is above a negative, ties counting half."""
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[wanted] for n in scores[~wanted]]
    return float(np.mean(pairs))


def brute_average_precision(scores: Floats, wanted: Bools) -> float:
    """Sum over thresholds of the recall that each adds, times the precision there."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = scores >= threshold
        recall = wanted[chosen].sum() / wanted.sum()
        total += (recall - before) * wanted[chosen].mean()
        before = recall
    return float(total)


@pytest.mark.parametrize("levels", [None, 1, 2, 4])
@pytest.mark.parametrize("seed", range(5))
def test_equal_to_references(seed: int, levels: int | None) -> None:
    """Random scores, few levels, and all ties: scikit-learn and brute force agree with us to rounding."""
    scores, targets = random_case(seed, levels=levels)
    found = class_scores(scores, targets)
    for label in range(scores.shape[1]):
        column, wanted = scores[:, label], targets[:, label]
        assert found.average_precision[label] == pytest.approx(average_precision_score(wanted, column), abs=1e-12)
        assert found.average_precision[label] == pytest.approx(brute_average_precision(column, wanted), abs=1e-12)
        assert found.auc[label] == pytest.approx(roc_auc_score(wanted, column), abs=1e-12)
        assert found.auc[label] == pytest.approx(brute_auc(column, wanted), abs=1e-12)
    assert found.d_prime == pytest.approx(math.sqrt(2) * norm.ppf(np.mean(found.auc)), abs=1e-12)


def test_equal_to_torchmetrics_where_that_is_defined() -> None:
    scores, targets = random_case(3)
    probabilities = torch.from_numpy(1 / (1 + np.exp(-scores)))
    theirs = multilabel_average_precision(probabilities, torch.from_numpy(targets).long(), num_labels=5)
    assert class_scores(scores, targets).mean_average_precision == pytest.approx(float(theirs), abs=1e-6)


def test_all_ties_are_chance() -> None:
    """One score for all: precision is the share of positives, the AUC a half, d' zero."""
    scores, targets = random_case(1, levels=1)
    found = class_scores(scores, targets)
    np.testing.assert_allclose(found.average_precision, targets.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.auc, 0.5)
    assert found.d_prime == pytest.approx(0.0, abs=1e-12)


def test_empty_and_full_classes_are_left_out() -> None:
    """A class without clips counts nowhere; one that every clip has counts for mAP and not for the AUC."""
    scores, targets = random_case(2)
    targets[:, 1], targets[:, 3] = False, True
    found = class_scores(scores, targets)
    assert np.flatnonzero(np.isnan(found.average_precision)).tolist() == [1]
    assert np.flatnonzero(np.isnan(found.auc)).tolist() == [1, 3]
    assert found.average_precision[3] == 1.0
    assert found.mean_average_precision == pytest.approx(np.nanmean(found.average_precision))
    assert found.mean_auc == pytest.approx(np.nanmean(found.auc))
    nothing = class_scores(scores, np.zeros_like(targets))
    assert (nothing.mean_average_precision, nothing.mean_auc, nothing.d_prime) == (None, None, None)


def test_perfect_scores_have_no_finite_d_prime() -> None:
    _, targets = random_case(4)
    found = class_scores(targets.astype(float), targets)
    assert (found.mean_average_precision, found.mean_auc, found.d_prime) == (1.0, 1.0, None)


def test_close_scores_are_not_tied() -> None:
    """Scores that float32, or a sigmoid, would make equal stay apart."""
    scores = 50.0 + np.array([[1e-12], [2e-12], [3e-12]]) * 100
    targets = np.array([[False], [False], [True]])
    assert class_scores(scores, targets).average_precision[0] == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    scores, targets = random_case(0)
    scores[7, 2] = bad
    with pytest.raises(DataError, match="clip 7 for class 2 is not finite"):
        class_scores(scores, targets)
    with pytest.raises(DataError, match="not finite"):
        top_k_credit(scores, np.zeros(40, dtype=np.int64))
    with pytest.raises(DataError, match="differ or are empty"):
        class_scores(scores[:0], targets[:0])


@pytest.mark.parametrize("k", [1, 3])
def test_accuracy_equals_torchmetrics_without_ties(k: int) -> None:
    scores, _ = random_case(5, clips=200)
    classes = np.random.default_rng(6).integers(5, size=200)
    theirs = multiclass_accuracy(
        torch.from_numpy(scores), torch.from_numpy(classes), num_classes=5, top_k=k, average="micro"
    )
    assert top_k_credit(scores, classes, k).mean() == pytest.approx(float(theirs))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=2, max_size=6), st.integers(1, 6), st.data())
def test_ties_are_broken_at_random(row: list[int], k: int, data: st.DataObject) -> None:
    """The credit is the share of all orders of the ties in which the class is among the first k."""
    own = data.draw(st.integers(0, len(row) - 1))
    level = [place for place, value in enumerate(row) if value == row[own]]
    above = sum(value > row[own] for value in row)
    expected = np.mean([above + place < k for place in range(len(level))])
    credit = top_k_credit(np.array([row], dtype=float), np.array([own]), k)
    assert credit[0] == pytest.approx(expected)
