"""Intervals of class means against resampling written out, clip by clip."""

import numpy as np
import pytest

from cavsync.evaluate.classify import class_intervals as under_test
from cavsync.evaluate.classify.class_intervals import class_intervals
from cavsync.evaluate.classify.metrics import class_scores
from cavsync.ranking import Ranking


@pytest.mark.parametrize("levels", [3, 1000])
def test_counting_a_clip_twice_is_having_it_twice(levels: int) -> None:
    """Ties or none: a ranking with counts is that of the list in which clips stand as often as they count."""
    random = np.random.default_rng(0)
    for _ in range(50):
        scores, wanted = random.integers(levels, size=12).astype(float), random.random(12) < 0.4
        counts = random.integers(3, size=(2, 12))
        found = Ranking.of(scores, wanted, counts)
        for number, row in enumerate(counts):
            if not row.sum():
                continue
            alone = Ranking.of(scores.repeat(row), wanted.repeat(row))
            np.testing.assert_allclose(found.average_precision()[number], alone.average_precision())
            np.testing.assert_allclose(found.roc_auc()[number], alone.roc_auc())


def test_intervals_are_those_of_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of resamples, each scored as a set of its own: the same ends to the noise of the draws, and the same
    numbers to the bit however many are drawn at once."""
    random = np.random.default_rng(1)
    targets = np.eye(3, dtype=bool)[random.integers(3, size=60)]
    scores = random.normal(size=(60, 3)) + targets
    right = (scores.argmax(axis=1) == targets.argmax(axis=1)).astype(float)
    drawn: dict[str, list[float]] = {"map": [], "auc": [], "d_prime": [], "class_accuracy": []}
    for _ in range(1500):
        places = random.integers(60, size=60)
        one = class_scores(scores[places], targets[places])
        drawn["map"].append(one.mean_average_precision or 0.0)
        drawn["auc"].append(one.mean_auc or 0.0)
        drawn["d_prime"].append(one.d_prime or 0.0)
        classes = targets[places].argmax(axis=1)
        drawn["class_accuracy"].append(float(np.mean([right[places][classes == c].mean() for c in range(3)])))
    found = class_intervals(scores, targets, right)
    for name, values in drawn.items():
        ends = np.percentile(values, [2.5, 97.5])
        assert found[name] == pytest.approx(tuple(ends), abs=0.15 * (ends[1] - ends[0]))
    assert "class_accuracy" not in class_intervals(scores, targets)
    monkeypatch.setattr(under_test, "BLOCK_CLIPS", 60 * 7)
    assert class_intervals(scores, targets, right) == found


def test_what_has_no_interval() -> None:
    """Perfect scores have an infinite d'; one kind of clip has no AUC."""
    targets = np.eye(2, dtype=bool).repeat(5, axis=0)
    found = class_intervals(targets.astype(float), targets)
    assert found == {"map": (1.0, 1.0), "auc": (1.0, 1.0), "d_prime": (None, None)}
    only = class_intervals(np.arange(4.0)[:, None], np.ones((4, 1), dtype=bool))
    assert (only["map"], only["auc"]) == ((1.0, 1.0), (None, None))
