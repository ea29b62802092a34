"""The calibration recovers a known truth."""

import numpy as np
import pytest

from cavsync.export.calibrate import FEATURES, Examples, fit, fit_logistic


def made_examples(count: int, seed: int, weights: list[float], bias: float) -> Examples:
    """Windows whose chance to be right is a known logistic function of their features."""
    random = np.random.default_rng(seed)
    features = random.uniform(0, 6, (count, len(FEATURES)))
    chance = 1 / (1 + np.exp(-(features @ np.asarray(weights) + bias)))
    right = random.random(count) < chance
    wrong_ms = random.choice([-1, 1], count) * random.uniform(200, 900, count)
    errors = np.where(right, random.normal(12, 20, count).clip(-119, 119), wrong_ms)
    return Examples(features, errors, np.arange(count) % 20)


def test_fit_recovers_the_probability() -> None:
    """Weights and bias of 20,000 windows come back to within their uncertainty; useless features weigh nothing."""
    weights, bias = [1.2, 0.8, 0.0, 0.5, 0.0], -6.0
    examples = made_examples(20_000, 0, weights, bias)
    found, found_bias = fit_logistic(examples.features, examples.right)
    chance = 1 / (1 + np.exp(-(examples.features @ np.asarray(weights) + bias)))
    predicted = 1 / (1 + np.exp(-(examples.features @ found + found_bias)))
    assert np.abs(predicted - chance).mean() < 0.03
    assert (found >= 0).all()


def test_threshold_resolution_and_zero_point() -> None:
    """Above the threshold 90 % are right; the constant 12 ms comes back as the zero point; resolution is the spread."""
    examples = made_examples(4000, 1, [1.2, 0.8, 0.0, 0.5, 0.0], -6.0)
    calibration = fit(examples, num_clips=20, source="test")
    logit = examples.features @ np.asarray(calibration.weights) + calibration.bias
    accepted = 1 / (1 + np.exp(-logit)) >= calibration.threshold
    assert examples.right[accepted].mean() >= 0.89
    assert calibration.zero_point_ms == pytest.approx(12, abs=2)
    # Median of |N(0, 20)| is 13.5.
    assert calibration.resolution_ms == pytest.approx(14, abs=2)


def test_no_bias_where_there_is_none() -> None:
    """A median within its own uncertainty is not corrected for."""
    examples = made_examples(400, 2, [1.2, 0.8, 0.0, 0.5, 0.0], -6.0)
    random = np.random.default_rng(3)
    centred = np.where(examples.right, random.normal(0, 20, 400).clip(-119, 119), examples.errors_ms)
    assert fit(Examples(examples.features, centred, examples.clips), num_clips=20, source="test").zero_point_ms == 0
