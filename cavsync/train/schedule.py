"""Learning rates."""

from __future__ import annotations

import math

from cavsync.train.config import TrainConfig

FINAL_COSINE_SHARE = 0.02


def learning_rate(config: TrainConfig, step: int, *, steps_per_epoch: int, progress: float) -> float:
    """Rate of optimiser step `step` (from 0); `progress` in [0, 1] says how much of the run is over.

    "halving" is CAV-MAE's: constant, then halved at epoch `halve_from_epoch` and every `halve_every_epochs` from
    there. "cosine" falls to a fiftieth. Both rise linearly over `warmup_steps` first.
    """
    rate = config.learning_rate * min(1.0, (step + 1) / max(1, config.warmup_steps))
    if config.schedule == "cosine":
        share = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return rate * (FINAL_COSINE_SHARE + (1 - FINAL_COSINE_SHARE) * share)
    epoch = step // steps_per_epoch + 1
    if epoch < config.halve_from_epoch:
        return rate
    return rate * 0.5 ** (1 + (epoch - config.halve_from_epoch) // config.halve_every_epochs)
