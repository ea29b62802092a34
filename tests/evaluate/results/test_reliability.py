"""Calibration error against torchmetrics, and the statistics that resample clips."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from torchmetrics.functional.classification import binary_calibration_error

from cavsync.errors import DataError
from cavsync.evaluate.results.intervals import statistic_over_clips
from cavsync.evaluate.results.reliability import expected_calibration_error, reliability_curve

# Multiples of 1/64 are exact in float32, in which torchmetrics finds the bins; none but 0, 1/2 and 1 lies on an edge.
# torchmetrics has a bin of its own for a confidence of exactly 1.
CONFIDENCES = st.integers(0, 63).filter(lambda n: n != 32).map(lambda n: n / 64)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CONFIDENCES, st.booleans()), min_size=1, max_size=80))
def test_it_is_torchmetrics_(pairs: list[tuple[float, bool]]) -> None:
    confidence, right = zip(*pairs, strict=True)
    found = expected_calibration_error(reliability_curve(confidence, right))
    wanted = binary_calibration_error(torch.tensor(confidence), torch.tensor(right).int(), n_bins=10, norm="l1")
    assert found == pytest.approx(float(wanted), abs=1e-6)


def test_the_curve_is_sklearn_s() -> None:
    random = np.random.default_rng(0)
    confidence = random.random(500)
    right = random.random(500) < confidence**2
    bins = reliability_curve(confidence, right)
    accuracy, mean = calibration_curve(right, confidence, n_bins=10)
    np.testing.assert_allclose([part.accuracy for part in bins], accuracy)
    np.testing.assert_allclose([part.confidence for part in bins], mean)
    assert sum(part.count for part in bins) == 500
    assert all(part.low < part.confidence <= part.high for part in bins)


def test_sure_and_always_wrong() -> None:
    assert expected_calibration_error(reliability_curve([1.0, 1.0], [0, 0])) == 1.0
    assert expected_calibration_error(reliability_curve([0.0, 1.0], [0, 1])) == 0.0
    assert expected_calibration_error(reliability_curve([], [])) is None


@pytest.mark.parametrize("bad", [[np.nan], [1.5], [-0.1], [0.5, 0.5]])
def test_no_confidences_are_refused(bad: list[float]) -> None:
    with pytest.raises(DataError):
        reliability_curve(bad, [1])


def test_the_interval_resamples_whole_clips() -> None:
    """Trials of one clip agree with each other here, so more of them must not narrow the interval."""
    random = np.random.default_rng(0)
    clips = [np.full(20, value) for value in random.normal(size=30)]
    alone = [rows[:1] for rows in clips]
    many, one = (statistic_over_clips(part, lambda rows: float(rows.mean())) for part in (clips, alone))
    assert (many.low, many.high) == pytest.approx((one.low, one.high))
    assert many.clips == 30
    assert one.high - one.low == pytest.approx(2 * 1.96 * np.std([rows[0] for rows in clips]) / 30**0.5, rel=0.25)


def test_what_is_infinite_becomes_none() -> None:
    """An undetermined clip's error is infinite: the median of mostly such clips is not known."""
    lost = [np.array([np.inf])] * 3 + [np.array([10.0])]
    found = statistic_over_clips(lost, lambda rows: float(np.percentile(rows, 50, method="higher")))
    assert (found.mean, found.low, found.high, found.clips) == (None, None, None, 4)
    assert statistic_over_clips([np.empty(0)], np.size).mean is None
