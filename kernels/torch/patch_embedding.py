"""Patch embedding that gathers the kept patches first and projects them with one matrix product."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from cavsync.kernels.dispatch import Implementation


class _Rows(torch.autograd.Function):
    """table (N, D), ids (B, K) -> (B, K, D).

    On a GPU the table's gradient is a matrix product, which repeats to the bit: `index_add` adds in any order there.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor) -> Tensor:
        ctx.num_rows = len(table)
        ctx.save_for_backward(ids)
        return table[ids]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (ids,) = ctx.saved_tensors
        flat, rows = ids.flatten(), grad.flatten(0, 1)
        if grad.device.type != "cuda":
            return grad.new_zeros(ctx.num_rows, grad.shape[-1]).index_add_(0, flat, rows), None
        places = grad.new_zeros(ctx.num_rows, len(flat)).scatter_(0, flat[None], 1.0)
        with torch.autocast("cuda", enabled=False):
            return places @ rows, None


def _run(images: Tensor, ids_keep: Tensor, weight: Tensor, bias: Tensor, position: Tensor, modality: Tensor) -> Tensor:
    patch_size = weight.shape[-1]
    columns = images.shape[3] // patch_size
    # A view: no pixel is copied before the kept patches are selected.
    cut = images.detach().unflatten(3, (columns, patch_size)).unflatten(2, (-1, patch_size)).permute(0, 2, 4, 1, 3, 5)
    items = torch.arange(len(images), device=images.device)[:, None]
    patches = cut[items, ids_keep // columns, ids_keep % columns].flatten(2)
    projected = F.linear(patches.to(weight.dtype), weight.flatten(1), bias.to(weight.dtype))
    places: Tensor = _Rows.apply(position + modality, ids_keep)  # type: ignore[no-untyped-call]
    return projected + places


IMPLEMENTATION = Implementation(_run)
