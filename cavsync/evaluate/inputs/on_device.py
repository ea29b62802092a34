"""A model on the device that was named."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from cavsync.errors import ConfigError

Model = TypeVar("Model", bound=nn.Module)


def on_device(model: Model, device: str) -> Model:
    """The model on `device`, in evaluation mode. ConfigError for a device that is not there."""
    try:
        return model.to(torch.device(device)).eval()
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"Device '{device}' cannot be used ({str(error).splitlines()[0]}): use cpu.") from None
