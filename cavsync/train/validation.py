"""Measurements on the held-out clips during a run: when they are due, which is the best, and when to end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from cavsync.errors import ConfigError, DataError
from cavsync.train.config import TrainConfig
from cavsync.train.schedule import finished_epochs
from cavsync.train.state import RunState

LOSS = "held_out_loss"


@dataclass(frozen=True)
class Validation:
    """The rules of one run. `metric` is the name of the task's held-out metric, `steps_per_epoch` as in `RunData`."""

    config: TrainConfig
    metric: str
    steps_per_epoch: float

    @property
    def criterion(self) -> str:
        """Name of the held-out metric that decides what is best."""
        return LOSS if self.config.best_by == "loss" else self.metric

    def require_clips(self, num_clips: int, num_processes: int) -> None:
        """Raise ConfigError where the run is to be measured, on fewer held-out clips than processes."""
        if self.config.validates and num_clips < num_processes:
            raise ConfigError(
                f"The run is to be measured while it trains, but holds out {num_clips} clips for {num_processes} "
                "processes: name some with --held-out, raise held_out_share, or leave out validate_every_steps and "
                "validate_every_epochs."
            )

    def is_due(self, state: RunState) -> bool:
        """Whether a measurement belongs after this step and has not been made."""
        step, config = state.step, self.config
        if step == 0 or state.validated_step == step:
            return False
        if config.validate_every_steps:
            return step % config.validate_every_steps == 0
        if not config.validate_every_epochs:
            return False
        now, before = (
            finished_epochs(number, self.steps_per_epoch) // config.validate_every_epochs for number in (step, step - 1)
        )
        return now > before

    def judge(self, state: RunState, found: Mapping[str, float]) -> RunState:
        """Return the state after a measurement; `best_step` is its step where it is the best so far.

        Raises DataError where no held-out clip could be used.
        """
        if not found:
            raise DataError("No held-out clip could be used: see `cavsync data check`, or name others with --held-out")
        value, best = found[self.criterion], state.best_value
        validated = replace(state, validated_step=state.step)
        sign = 1 if self.config.best_by == "loss" else -1
        if math.isfinite(value) and (best is None or sign * value < sign * best):
            return replace(validated, best_step=state.step, best_value=value, not_better=0)
        return replace(validated, not_better=state.not_better + 1)

    def is_over(self, state: RunState) -> bool:
        """Whether the run ends early."""
        patience = self.config.early_stop_patience
        return bool(patience) and state.not_better >= patience

    def summary(self, state: RunState) -> dict[str, float]:
        """Return the best measurement so far, under its name, and its step; empty without one."""
        if state.best_value is None:
            return {}
        return {f"best_{self.criterion}": state.best_value, "best_step": float(state.best_step)}
