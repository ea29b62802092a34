"""Patch embedding that gathers the kept patches first and projects them with one matrix product."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cavsync.kernels.dispatch import Implementation


def _run(images: Tensor, ids_keep: Tensor, weight: Tensor, bias: Tensor, position: Tensor, modality: Tensor) -> Tensor:
    patch_size = weight.shape[-1]
    columns = images.shape[3] // patch_size
    # A view: no pixel is copied before the kept patches are selected.
    cut = images.detach().unflatten(3, (columns, patch_size)).unflatten(2, (-1, patch_size)).permute(0, 2, 4, 1, 3, 5)
    items = torch.arange(len(images), device=images.device)[:, None]
    patches = cut[items, ids_keep // columns, ids_keep % columns].flatten(2)
    projected = F.linear(patches.to(weight.dtype), weight.flatten(1), bias.to(weight.dtype))
    return projected + (position + modality)[ids_keep]


IMPLEMENTATION = Implementation(_run)
