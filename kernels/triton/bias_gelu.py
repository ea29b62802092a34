"""Bias and exact GELU in one pass, and their gradients, that of the bias included, in another."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from cavsync.kernels.dispatch import Implementation
from cavsync.kernels.triton.support import device_reasons, next_power_of_2

COLUMNS = 256
TILE_ROWS = 16
BACKWARD_STEPS = 8
"""Tiles per program of the backward: each program leaves one row of sums, a 64th of what it reads in bf16."""

HALF_ROOT: tl.constexpr = tl.constexpr(0.7071067811865476)
INVERSE_ROOT_TAU: tl.constexpr = tl.constexpr(0.3989422804014327)


@triton.jit
def bias_gelu_forward(product, bias, out, num_rows, WIDTH: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Grid (blocks of ROWS rows, blocks of BLOCK columns)."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (rows[:, None] < num_rows) & (columns[None, :] < WIDTH)
    place = rows.to(tl.int64)[:, None] * WIDTH + columns[None, :]
    value = tl.load(product + place, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(bias + columns, mask=columns < WIDTH, other=0.0).to(tl.float32)[None, :]
    result = 0.5 * value * (1.0 + tl.erf(value * HALF_ROOT))
    tl.store(out + place, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def bias_gelu_backward(
    grad_out,
    product,
    bias,
    grad_product,
    partials,
    num_rows,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    STEPS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Grid (blocks of ROWS * STEPS rows, blocks of BLOCK columns); sums of rows go to partials (row blocks, WIDTH)."""
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    shift = tl.load(bias + columns, mask=columns < WIDTH, other=0.0).to(tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    for step in range(STEPS):
        rows = (tl.program_id(0) * STEPS + step) * ROWS + tl.arange(0, ROWS)
        inside = (rows[:, None] < num_rows) & (columns[None, :] < WIDTH)
        place = rows.to(tl.int64)[:, None] * WIDTH + columns[None, :]
        value = tl.load(product + place, mask=inside, other=0.0).to(tl.float32) + shift[None, :]
        grad = tl.load(grad_out + place, mask=inside, other=0.0).to(tl.float32)
        below = 0.5 * (1.0 + tl.erf(value * HALF_ROOT))
        density = INVERSE_ROOT_TAU * tl.exp(-0.5 * value * value)
        result = (grad * (below + value * density)).to(grad_product.dtype.element_ty)
        tl.store(grad_product + place, result, mask=inside)
        # The gradient as it is stored, which is what a sum over it would read.
        total += tl.sum(result.to(tl.float32), axis=0)
    tl.store(partials + tl.program_id(0) * WIDTH + columns, total, mask=columns < WIDTH)


def _columns(width: int) -> int:
    return min(COLUMNS, next_power_of_2(width))


@torch.library.custom_op("cavsync::bias_gelu", mutates_args=())
def bias_gelu_op(product: Tensor, bias: Tensor) -> Tensor:
    """GELU of product (rows, width) + bias (width,), in the product's dtype."""
    product = product.contiguous()
    out = torch.empty_like(product)
    num_rows, width = product.shape
    if out.numel():
        block = _columns(width)
        grid = (triton.cdiv(num_rows, TILE_ROWS), triton.cdiv(width, block))
        bias_gelu_forward[grid](product, bias.contiguous(), out, num_rows, width, TILE_ROWS, block)
    return out


@bias_gelu_op.register_fake
def _(product: Tensor, bias: Tensor) -> Tensor:
    return product.new_empty(product.shape)


@torch.library.custom_op("cavsync::bias_gelu_backward", mutates_args=())
def bias_gelu_backward_op(grad_out: Tensor, product: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of product, in its dtype, and of bias, float32; the sums are always taken in the same order."""
    grad_out, product = grad_out.contiguous(), product.contiguous()
    grad_product = torch.empty_like(product)
    num_rows, width = product.shape
    row_blocks, block = triton.cdiv(num_rows, TILE_ROWS * BACKWARD_STEPS), _columns(width)
    partials = product.new_empty((row_blocks, width), dtype=torch.float32)
    if product.numel():
        grid = (row_blocks, triton.cdiv(width, block))
        bias_gelu_backward[grid](
            *(grad_out, product, bias.contiguous(), grad_product, partials, num_rows),
            *(width, TILE_ROWS, BACKWARD_STEPS, block),
        )
    return grad_product, partials.sum(dim=0)


@bias_gelu_backward_op.register_fake
def _(grad_out: Tensor, product: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    return product.new_empty(product.shape), product.new_empty(bias.shape, dtype=torch.float32)


def _setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, Tensor]:
    product, bias = ctx.saved_tensors
    grad_product, grad_bias = bias_gelu_backward_op(grad_out, product, bias)
    return grad_product, grad_bias.to(bias.dtype)


bias_gelu_op.register_autograd(_backward, setup_context=_setup_context)


def _run(product: Tensor, bias: Tensor) -> Tensor:
    result: Tensor = bias_gelu_op(product.flatten(0, -2), bias)
    return result.view(product.shape)


IMPLEMENTATION = Implementation(_run, device_reasons)
