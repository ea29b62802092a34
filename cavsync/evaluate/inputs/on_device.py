"""Move a model to a device."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from cavsync.errors import ConfigError

Model = TypeVar("Model", bound=nn.Module)


def on_device(model: Model, device: str) -> Model:
    """Move a model to `device` and set it to evaluation mode. Raises ConfigError for a missing device."""
    try:
        return model.to(torch.device(device)).eval()
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"Device '{device}' cannot be used ({str(error).splitlines()[0]}): use cpu.") from None
