"""Patch embedding that reads only the kept patches: gather, project and add in one kernel."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from cavsync.kernels.dispatch import Implementation
from cavsync.kernels.triton.support import device_reasons, dot

BLOCK_M, BLOCK_N, BLOCK_K = 64, 128, 64
GATHER_ROWS, GATHER_COLUMNS = 16, 256


@triton.jit
def _patch_starts(ids_keep, rows, num_rows, kept, grid_columns, stride_b, stride_h, stride_w, PATCH: tl.constexpr):
    """Patch index of each kept row, and the offset of its first pixel."""
    patch = tl.load(ids_keep + rows, mask=rows < num_rows, other=0)
    start = (rows // kept).to(tl.int64) * stride_b
    start += (patch // grid_columns) * PATCH * stride_h + (patch % grid_columns) * PATCH * stride_w
    return patch, start


@triton.jit
def _pixel_offsets(pixels, stride_c, stride_h, stride_w, PATCH: tl.constexpr):
    """Offsets of a patch's pixels in the order of a convolution's kernel: channel, row, column."""
    channel = pixels // (PATCH * PATCH)
    row = (pixels // PATCH) % PATCH
    return channel * stride_c + row * stride_h + (pixels % PATCH) * stride_w


@triton.jit
def embed_kept(
    images,
    ids_keep,
    weight,
    bias,
    position,
    modality,
    out,
    num_rows,
    kept,
    grid_columns,
    stride_b,
    stride_c,
    stride_h,
    stride_w,
    WIDTH: tl.constexpr,
    PIXELS: tl.constexpr,
    PATCH: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Grid (blocks of kept patches, blocks of output columns). weight (WIDTH, PIXELS)."""
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    patch, start = _patch_starts(ids_keep, rows, num_rows, kept, grid_columns, stride_b, stride_h, stride_w, PATCH)
    product = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for first in range(0, PIXELS, BLOCK_K):
        pixels = first + tl.arange(0, BLOCK_K)
        place = start[:, None] + _pixel_offsets(pixels, stride_c, stride_h, stride_w, PATCH)[None, :]
        inside = (rows[:, None] < num_rows) & (pixels[None, :] < PIXELS)
        values = tl.load(images + place, mask=inside, other=0.0).to(weight.dtype.element_ty)
        inside = (columns[:, None] < WIDTH) & (pixels[None, :] < PIXELS)
        kernel = tl.load(weight + columns[:, None] * PIXELS + pixels[None, :], mask=inside, other=0.0)
        product += dot(values, tl.trans(kernel))
    inside = (rows[:, None] < num_rows) & (columns[None, :] < WIDTH)
    constant = tl.load(bias + columns, mask=columns < WIDTH, other=0.0).to(tl.float32)
    constant += tl.load(modality + columns, mask=columns < WIDTH, other=0.0).to(tl.float32)
    product += tl.load(position + patch[:, None] * WIDTH + columns[None, :], mask=inside, other=0.0).to(tl.float32)
    target = out + rows.to(tl.int64)[:, None] * WIDTH + columns[None, :]
    tl.store(target, (product + constant[None, :]).to(out.dtype.element_ty), mask=inside)


@triton.jit
def gather_kept(
    images,
    ids_keep,
    out,
    num_rows,
    kept,
    grid_columns,
    stride_b,
    stride_c,
    stride_h,
    stride_w,
    PIXELS: tl.constexpr,
    PATCH: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Grid (blocks of kept patches, blocks of pixels): the kept patches one after the other, (num_rows, PIXELS)."""
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    pixels = tl.program_id(1) * BLOCK_K + tl.arange(0, BLOCK_K)
    _, start = _patch_starts(ids_keep, rows, num_rows, kept, grid_columns, stride_b, stride_h, stride_w, PATCH)
    place = start[:, None] + _pixel_offsets(pixels, stride_c, stride_h, stride_w, PATCH)[None, :]
    inside = (rows[:, None] < num_rows) & (pixels[None, :] < PIXELS)
    values = tl.load(images + place, mask=inside, other=0.0)
    target = out + rows.to(tl.int64)[:, None] * PIXELS + pixels[None, :]
    tl.store(target, values.to(out.dtype.element_ty), mask=inside)


@torch.library.custom_op("cavsync::kept_patch_embedding", mutates_args=())
def patch_embedding_op(
    images: Tensor, ids_keep: Tensor, weight: Tensor, bias: Tensor, position: Tensor, modality: Tensor
) -> Tensor:
    """Vectors of the kept patches (B, K, D) in position's dtype."""
    out = _output(ids_keep, position)
    width, pixels, patch_size = weight.shape[0], weight[0].numel(), weight.shape[-1]
    num_rows = ids_keep.numel()
    if num_rows:
        grid = (triton.cdiv(num_rows, BLOCK_M), triton.cdiv(width, BLOCK_N))
        embed_kept[grid](
            *(images, ids_keep.contiguous(), weight.contiguous(), bias.contiguous(), position.contiguous()),
            *(modality.contiguous(), out, num_rows, ids_keep.shape[1], images.shape[3] // patch_size),
            *images.stride(),
            *(width, pixels, patch_size, BLOCK_M, BLOCK_N, BLOCK_K),
            num_warps=4,
        )
    return out


def _output(ids_keep: Tensor, position: Tensor) -> Tensor:
    shape = (*ids_keep.shape, position.shape[-1])
    return torch.empty(shape, dtype=position.dtype, device=position.device)


@patch_embedding_op.register_fake
def _(images: Tensor, ids_keep: Tensor, weight: Tensor, bias: Tensor, position: Tensor, modality: Tensor) -> Tensor:
    return _output(ids_keep, position)


@torch.library.custom_op("cavsync::gather_patches", mutates_args=())
def gather_patches_op(images: Tensor, ids_keep: Tensor, patch_size: int, dtype: torch.dtype) -> Tensor:
    """The kept patches (B · K, C · patch_size²), each in the order of a convolution's kernel."""
    out = _gathered(images, ids_keep, patch_size, dtype)
    num_rows, pixels = out.shape
    if num_rows:
        grid = (triton.cdiv(num_rows, GATHER_ROWS), triton.cdiv(pixels, GATHER_COLUMNS))
        gather_kept[grid](
            *(images, ids_keep.contiguous(), out, num_rows, ids_keep.shape[1], images.shape[3] // patch_size),
            *images.stride(),
            *(pixels, patch_size, GATHER_ROWS, GATHER_COLUMNS),
        )
    return out


def _gathered(images: Tensor, ids_keep: Tensor, patch_size: int, dtype: torch.dtype) -> Tensor:
    shape = (ids_keep.shape[0] * ids_keep.shape[1], images.shape[1] * patch_size**2)
    return torch.empty(shape, dtype=dtype, device=images.device)


@gather_patches_op.register_fake
def _(images: Tensor, ids_keep: Tensor, patch_size: int, dtype: torch.dtype) -> Tensor:
    return _gathered(images, ids_keep, patch_size, dtype)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    images, ids_keep, weight, bias, position, modality = inputs
    ctx.dtypes = bias.dtype, modality.dtype
    ctx.save_for_backward(images, ids_keep, weight, position)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    images, ids_keep, weight, position = ctx.saved_tensors
    rows = grad.flatten(0, 1)
    grad_weight = grad_position = None
    if ctx.needs_input_grad[2]:
        # Gather the patches again: storing them would cost much memory and save little time.
        patches = gather_patches_op(images, ids_keep, weight.shape[-1], weight.dtype)
        grad_weight = (rows.to(weight.dtype).T @ patches).view(weight.shape)
    if ctx.needs_input_grad[4]:
        grad_position = torch.zeros_like(position).index_add(0, ids_keep.flatten(), rows.to(position.dtype))
    summed = rows.sum(0, dtype=torch.float32)
    return None, None, grad_weight, summed.to(ctx.dtypes[0]), grad_position, summed.to(ctx.dtypes[1])


patch_embedding_op.register_autograd(_backward, setup_context=_setup_context)


def _not_supported_reasons(
    images: Tensor, ids_keep: Tensor, weight: Tensor, bias: Tensor, position: Tensor, modality: Tensor
) -> list[str]:
    return device_reasons(images, ids_keep, weight, bias, position, modality)


def _run(*inputs: Tensor) -> Tensor:
    images, *rest = inputs
    vectors: Tensor = patch_embedding_op(images.detach(), *rest)
    return vectors


IMPLEMENTATION = Implementation(_run, _not_supported_reasons)
