"""Learning rates, against the recipes written out by hand."""

import math

import pytest

from cavsync.train.config import TrainConfig
from cavsync.train.schedule import guard_seconds, learning_rate


def test_halving_is_cav_mae_s_recipe() -> None:
    """5e-5 for ten epochs, halved after 10, 15 and 20: the scripts pass the number of finished epochs."""
    config = TrainConfig(learning_rate=5e-5)
    by_hand = [5e-5] * 10 + [2.5e-5] * 5 + [1.25e-5] * 5 + [6.25e-6] * 5
    got = [learning_rate(config, 100 * epoch, steps_per_epoch=100, progress=epoch / 25) for epoch in range(25)]
    assert got == pytest.approx(by_hand)


def test_cosine_with_warm_up() -> None:
    """Rises linearly, then follows the cosine of the progress down to a fiftieth."""
    config = TrainConfig(schedule="cosine", learning_rate=1e-3, warmup_steps=10)
    assert learning_rate(config, 0, steps_per_epoch=5, progress=0.0) == pytest.approx(1e-4)
    half = 1e-3 * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert learning_rate(config, 50, steps_per_epoch=5, progress=0.5) == pytest.approx(half)
    assert learning_rate(config, 100, steps_per_epoch=5, progress=1.0) == pytest.approx(2e-5)
    assert learning_rate(config, 100, steps_per_epoch=5, progress=1.3) == pytest.approx(2e-5)


def test_guard_falls_from_far_to_near() -> None:
    """Geometrically over its share of the run, then it stays; without a curriculum it is constant."""
    config = TrainConfig(guard_start_seconds=0.4, guard_seconds=0.1, curriculum_share=0.5)
    got = [guard_seconds(config, progress) for progress in (0.0, 0.125, 0.25, 0.375, 0.5, 1.0)]
    assert got == pytest.approx([0.4, 0.4 / 2**0.5, 0.2, 0.2 / 2**0.5, 0.1, 0.1])
    to_zero = TrainConfig(guard_start_seconds=0.4, curriculum_share=0.5)
    assert guard_seconds(to_zero, 0.0) == pytest.approx(0.4)
    assert guard_seconds(to_zero, 0.49) == pytest.approx(0.005, rel=0.1)
    assert guard_seconds(to_zero, 0.5) == 0.0
    assert guard_seconds(TrainConfig(guard_seconds=0.2), 0.1) == 0.2
