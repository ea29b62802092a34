"""Training: configurations, presets, and the loop that runs them.

Public: the names below. A run's folder is a public format; the modules in this package are not public.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cavsync.train.config import TrainConfig, override
    from cavsync.train.loop import RunResult, Trainer
    from cavsync.train.presets import PRESETS, preset

__all__ = ["PRESETS", "RunResult", "TrainConfig", "Trainer", "override", "preset"]

# Imported when first used: `graphs` needs neither the readers of media files nor what opens them.
_MODULES = {
    **dict.fromkeys(("PRESETS", "preset"), "presets"),
    **dict.fromkeys(("RunResult", "Trainer"), "loop"),
    **dict.fromkeys(("TrainConfig", "override"), "config"),
}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
