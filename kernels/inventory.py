"""List the backends of each operation, usable or with the reasons against them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from cavsync.kernels.dispatch import OPERATIONS
from cavsync.kernels.segments import Segments


@dataclass(frozen=True)
class Verdict:
    """One backend of one operation on this machine.

    automatic: chosen unless another is asked for. reasons: why it cannot be used, empty where it can. method: what it
    runs by size, "" where it always runs the same or cannot be used.
    """

    operation: str
    backend: str
    automatic: bool
    reasons: tuple[str, ...]
    method: str


def inventory(device: torch.device | None = None) -> list[Verdict]:
    """Verdicts of every backend on small inputs, bfloat16 on a GPU, float32 on a CPU; None: the GPU if there is one."""
    if device is None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    verdicts = []
    for name, inputs in _examples(device).items():
        operation = OPERATIONS[name]
        chosen = operation.choose(*inputs)
        for candidate in operation.candidates:
            reasons = tuple(candidate.not_supported_reasons(*inputs))
            method = "" if reasons else candidate.load().method(*inputs)
            verdicts.append(Verdict(name, candidate.name, candidate is chosen, reasons, method))
    return verdicts


def _examples(device: torch.device) -> dict[str, tuple[Any, ...]]:
    """Inputs of every operation, as the model passes them."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    ids = torch.zeros(1, 1, dtype=torch.long, device=device)
    image, patch = torch.zeros(1, 3, 16, 16, device=device), torch.zeros(1, 1, 768, dtype=dtype, device=device)
    row, unit = torch.zeros(1, 64, device=device), torch.ones((), device=device)
    return {
        "attention": (torch.zeros(128, 3, 2, 64, dtype=dtype, device=device), Segments(((1, 53), (1, 75)))),
        "modality_layer_norm": (row, row.to(dtype), row, row, [1], dtype, 1e-5),
        "bias_gelu": (row.to(dtype), row[0]),
        "kept_patch_embedding": (image, ids, patch.new_zeros(64, 3, 16, 16), row[0], row, row[0]),
        "masked_reconstruction_loss": (patch, image, ids > 0, 16, False),
        "info_nce": (row, row, unit, 0, None),
    }
