"""Training: configurations, presets, and the loop that runs them.

Public: the names below. A run's folder is a public format; the modules in this package are not public.
"""

from cavsync.train.config import TrainConfig, override
from cavsync.train.loop import RunResult, Trainer
from cavsync.train.presets import PRESETS, preset

__all__ = ["PRESETS", "RunResult", "TrainConfig", "Trainer", "override", "preset"]
