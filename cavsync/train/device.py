"""Where and in which precision a run computes."""

from __future__ import annotations

from typing import Literal

import torch
from lightning_fabric import Fabric

from cavsync.train.config import TrainConfig


def make_fabric(config: TrainConfig) -> Fabric:
    """Fabric on one device, as configured; "auto" takes a GPU where there is one."""
    accelerator = config.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    precision = config.precision if config.precision != "auto" else _native_precision(accelerator)
    return Fabric(accelerator=accelerator, devices=1, precision=precision)


def _native_precision(accelerator: str) -> Literal["bf16-mixed", "32-true"]:
    """bf16 pays where the hardware multiplies it; emulated, it is slower than float32."""
    if accelerator == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return "bf16-mixed" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "32-true"
