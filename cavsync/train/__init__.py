"""Training: configurations, presets, and the loop that runs them."""

from cavsync.train.config import TrainConfig, override
from cavsync.train.loop import RunResult, Trainer
from cavsync.train.presets import PRESETS, preset

__all__ = ["PRESETS", "RunResult", "TrainConfig", "Trainer", "override", "preset"]
