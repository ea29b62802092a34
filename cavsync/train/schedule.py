"""What changes in the course of a run: the learning rate, and how near negatives may lie."""

from __future__ import annotations

import math

from cavsync.train.config import TrainConfig

FINAL_COSINE_SHARE = 0.02
# A geometric fall needs an end above zero; no two frames lie closer than this.
SMALLEST_GUARD_SECONDS = 0.005


def learning_rate(config: TrainConfig, step: int, *, steps_per_epoch: float, progress: float) -> float:
    """Rate of optimiser step `step` (from 0); `progress` in [0, 1] says how much of the run is over.

    "halving" is CAV-MAE's: constant, then halved at epoch `halve_from_epoch` and every `halve_every_epochs` from
    there. "cosine" falls to a fiftieth. Both rise linearly over `warmup_steps` first.
    """
    rate = config.learning_rate * min(1.0, (step + 1) / max(1, config.warmup_steps))
    if config.schedule == "cosine":
        share = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return rate * (FINAL_COSINE_SHARE + (1 - FINAL_COSINE_SHARE) * share)
    # A whole number of epochs may come out a little below one.
    epoch = math.floor(step / steps_per_epoch + 1e-9) + 1
    if epoch < config.halve_from_epoch:
        return rate
    return rate * 0.5 ** (1 + (epoch - config.halve_from_epoch) // config.halve_every_epochs)


def guard_seconds(config: TrainConfig, progress: float) -> float:
    """Least distance of two instants of a clip that are negatives of each other, at `progress` in [0, 1] of the run.

    It falls geometrically from `guard_start_seconds` to `guard_seconds` over `curriculum_share` of the run: coarse time
    first, which is easy, then the last frames.
    """
    start, end = config.guard_start_seconds, config.guard_seconds
    if start <= end or progress >= config.curriculum_share:
        return end
    floor = max(end, SMALLEST_GUARD_SECONDS)
    return start * math.pow(floor / start, progress / config.curriculum_share)
