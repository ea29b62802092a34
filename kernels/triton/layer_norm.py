"""Residual sum and LayerNorm of packed streams, each row with the affine set of its stream, in one launch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import triton
from torch import Tensor

from cavsync.kernels.dispatch import Implementation
from cavsync.kernels.triton.layer_norm_rows import norm_backward, norm_forward, sum_partials
from cavsync.kernels.triton.support import device_reasons, next_power_of_2

MAX_WIDTH = 8192
TILE_ELEMENTS = 4096
BACKWARD_ROWS = 64
# Narrow blocks of columns spread the sum of partial sums over the chip: 32 programs at a width of 512.
SUM_COLUMNS, SUM_ROWS = 16, 128


# Never dropped: a recorded CUDA graph keeps reading it.
@cache
def _bounds(rows: tuple[int, ...], device: torch.device) -> Tensor:
    """First row of each stream and the end of the last, int32 (sets + 1,)."""
    ends = [sum(rows[:index]) for index in range(len(rows) + 1)]
    return torch.tensor(ends, dtype=torch.int32, device=device)


def _tile(width: int) -> tuple[int, int, int]:
    """Columns and rows of a tile, and warps per program."""
    block = next_power_of_2(width)
    return block, max(1, TILE_ELEMENTS // block), 4 if block <= TILE_ELEMENTS else 8


@torch.library.custom_op("cavsync::modality_layer_norm", mutates_args=())
def layer_norm_op(
    x: Tensor,
    branch: Tensor | None,
    weights: Tensor,
    biases: Tensor,
    rows: list[int],
    out_dtype: torch.dtype,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sum (tokens, D), empty without branch; normalised rows (tokens, D); mean and 1 / deviation (tokens,) float32."""
    total, normed, mean, rstd = _outputs(x, branch, out_dtype)
    x, branch = _unit_stride(x), None if branch is None else _unit_stride(branch)
    num_tokens, width = x.shape
    block, tile_rows, warps = _tile(width)
    if num_tokens:
        grid = (sum(triton.cdiv(count, tile_rows) for count in rows),)
        other = x if branch is None else branch
        norm_forward[grid](
            *(x, other, weights.contiguous(), biases.contiguous(), _bounds(tuple(rows), x.device)),
            *(total, normed, mean, rstd, eps, x.stride(0), other.stride(0)),
            *(width, block, tile_rows, len(rows), branch is not None),
            num_warps=warps,
        )
    return total, normed, mean, rstd


def _outputs(x: Tensor, branch: Tensor | None, out_dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    total = torch.empty(x.shape if branch is not None else (0,), dtype=x.dtype, device=x.device)
    mean, rstd = (x.new_empty((x.shape[0],), dtype=torch.float32) for _ in range(2))
    return total, torch.empty(x.shape, dtype=out_dtype, device=x.device), mean, rstd


@layer_norm_op.register_fake
def _(
    x: Tensor,
    branch: Tensor | None,
    weights: Tensor,
    biases: Tensor,
    rows: list[int],
    out_dtype: torch.dtype,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _outputs(x, branch, out_dtype)


@torch.library.custom_op("cavsync::modality_layer_norm_backward", mutates_args=())
def layer_norm_backward_op(
    grad_normed: Tensor,
    grad_total: Tensor | None,
    total: Tensor,
    weights: Tensor,
    mean: Tensor,
    rstd: Tensor,
    rows: list[int],
    branch_dtype: torch.dtype | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, of the branch (empty where x's serves), of weights and of biases (sets, D) float32."""
    grad_x, grad_branch, grad_weights, grad_biases = _gradients(total, weights, branch_dtype)
    num_tokens, width = total.shape
    if not num_tokens:
        return grad_x, grad_branch, grad_weights.zero_(), grad_biases.zero_()
    total, grad_normed = _unit_stride(total), grad_normed.contiguous()
    upstream = grad_normed if grad_total is None else grad_total.contiguous()
    block, tile_rows, warps = _tile(width)
    steps = max(1, BACKWARD_ROWS // tile_rows)
    programs = sum(triton.cdiv(count, tile_rows * steps) for count in rows)
    partials = total.new_empty((2, programs, width), dtype=torch.float32)
    bounds = _bounds(tuple(rows), total.device)
    grid: tuple[int, ...] = (programs,)
    norm_backward[grid](
        *(grad_normed, upstream, total, weights.contiguous(), bounds, mean, rstd),
        *(grad_x, grad_branch, partials[0], partials[1], total.stride(0)),
        *(width, block, tile_rows, steps, len(rows), grad_total is not None, grad_branch.numel() > 0),
        num_warps=warps,
    )
    columns = min(block, SUM_COLUMNS)
    grid = (len(rows), triton.cdiv(width, columns))
    sum_partials[grid](
        partials[0], partials[1], bounds, grad_weights, grad_biases, width, columns, SUM_ROWS, tile_rows * steps
    )
    return grad_x, grad_branch, grad_weights, grad_biases


def _gradients(
    total: Tensor, weights: Tensor, branch_dtype: torch.dtype | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    own = branch_dtype is not None and branch_dtype != total.dtype
    return (
        torch.empty(total.shape, dtype=total.dtype, device=total.device),
        torch.empty(total.shape if own else (0,), dtype=branch_dtype or total.dtype, device=total.device),
        torch.empty(weights.shape, dtype=torch.float32, device=total.device),
        torch.empty(weights.shape, dtype=torch.float32, device=total.device),
    )


@layer_norm_backward_op.register_fake
def _(
    grad_normed: Tensor,
    grad_total: Tensor | None,
    total: Tensor,
    weights: Tensor,
    mean: Tensor,
    rstd: Tensor,
    rows: list[int],
    branch_dtype: torch.dtype | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _gradients(total, weights, branch_dtype)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, branch, weights, biases, ctx.rows, _, _ = inputs
    total, _, mean, rstd = output
    ctx.mark_non_differentiable(mean, rstd)
    ctx.branch_dtype = None if branch is None else branch.dtype
    ctx.bias_dtype = biases.dtype
    ctx.save_for_backward(x if branch is None else total, weights, mean, rstd)


def _backward(
    ctx: Any, grad_total: Tensor, grad_normed: Tensor, _grad_mean: Tensor | None, _grad_rstd: Tensor | None
) -> tuple[Tensor | None, ...]:
    total, weights, mean, rstd = ctx.saved_tensors
    upstream = None if ctx.branch_dtype is None else grad_total
    grad_x, grad_branch, grad_weights, grad_biases = layer_norm_backward_op(
        grad_normed, upstream, total, weights, mean, rstd, ctx.rows, ctx.branch_dtype
    )
    if ctx.branch_dtype in (None, total.dtype):
        grad_branch = None if ctx.branch_dtype is None else grad_x
    return grad_x, grad_branch, grad_weights.to(weights.dtype), grad_biases.to(ctx.bias_dtype), None, None, None


layer_norm_op.register_autograd(_backward, setup_context=_setup_context)


def _unit_stride(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _not_supported_reasons(x: Tensor, branch: Tensor | None, weights: Tensor, *_rest: Any) -> list[str]:
    reasons = device_reasons(x, branch, weights)
    if x.shape[-1] > MAX_WIDTH:
        reasons.append(f"the width is {x.shape[-1]}, more than {MAX_WIDTH}")
    if branch is not None and torch.promote_types(x.dtype, branch.dtype) != x.dtype:
        reasons.append(f"the branch's dtype {branch.dtype} is wider than the stream's {x.dtype}")
    return reasons


def _run(
    x: Tensor,
    branch: Tensor | None,
    weights: Tensor,
    biases: Tensor,
    rows: Sequence[int],
    out_dtype: torch.dtype,
    eps: float,
) -> tuple[Tensor, Tensor]:
    total, normed, _, _ = layer_norm_op(x, branch, weights, biases, list(rows), out_dtype, eps)
    return x if branch is None else total, normed


IMPLEMENTATION = Implementation(_run, _not_supported_reasons)
