"""Schedules of a run: the learning rate, and the distance of negatives."""

from __future__ import annotations

import math

from cavsync.train.config import TrainConfig

FINAL_COSINE_SHARE = 0.02
# Geometric decay needs an end above zero; no two frames are closer than this.
SMALLEST_GUARD_SECONDS = 0.005
ROUNDING = 1e-9


def finished_epochs(step: int, steps_per_epoch: float) -> int:
    """Return how many epochs are over after `step` steps."""
    # An epoch of 7 / 3 steps ends with step 7, whatever the rounding of the quotient.
    return math.floor(step / steps_per_epoch + ROUNDING)


def learning_rate(config: TrainConfig, step: int, *, steps_per_epoch: float, progress: float) -> float:
    """Return the rate of optimiser step `step` (from 0); `progress` in [0, 1] is the share of the run that is over.

    "halving" is CAV-MAE's: constant, then halved at epoch `halve_from_epoch` and every `halve_every_epochs` after it.
    "cosine" falls to a fiftieth. Both rise linearly over the first `warmup_steps`.
    """
    rate = config.learning_rate * min(1.0, (step + 1) / max(1, config.warmup_steps))
    if config.schedule == "cosine":
        share = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return rate * (FINAL_COSINE_SHARE + (1 - FINAL_COSINE_SHARE) * share)
    epoch = finished_epochs(step, steps_per_epoch) + 1
    if epoch < config.halve_from_epoch:
        return rate
    return rate * 0.5 ** (1 + (epoch - config.halve_from_epoch) // config.halve_every_epochs)


def guard_seconds(config: TrainConfig, progress: float) -> float:
    """Return the least distance of two instants of a clip that are negatives of each other, at `progress` in [0, 1].

    It falls geometrically from `guard_start_seconds` to `guard_seconds` over `curriculum_share` of the run: the model
    first learns coarse timing, which is easy, then single frames.
    """
    start, end = config.guard_start_seconds, config.guard_seconds
    if start <= end or progress >= config.curriculum_share:
        return end
    floor = max(end, SMALLEST_GUARD_SECONDS)
    return start * math.pow(floor / start, progress / config.curriculum_share)


def teacher_decay(config: TrainConfig, progress: float) -> float:
    """Return the decay of the teacher's moving average at `progress` in [0, 1].

    It rises along half a cosine from `teacher_decay` to `teacher_decay_end`, if that is set (BYOL, arXiv 2006.07733).
    """
    start, end = config.teacher_decay or 0.0, config.teacher_decay_end
    if end is None:
        return start
    return end - (end - start) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
