"""Masked reconstruction loss that reads its target straight from the images, for hidden patches only."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from cavsync.kernels.dispatch import Implementation
from cavsync.kernels.reference import PIXEL_NORM_EPS
from cavsync.kernels.triton.support import device_reasons, next_power_of_2

TILE_ELEMENTS = 2048
MAX_PIXELS = 16384


@triton.jit
def _target(
    images,
    rows,
    hidden,
    num_patches,
    grid_columns,
    stride_b,
    stride_c,
    stride_h,
    stride_w,
    PIXELS: tl.constexpr,
    BLOCK_P: tl.constexpr,
    PATCH: tl.constexpr,
    CHANNELS: tl.constexpr,
    NORM_PIX: tl.constexpr,
    EPS: tl.constexpr,
):
    """Patches of the given rows in the layout of `patchify` (channel fastest), zeros where not hidden."""
    pixels = tl.arange(0, BLOCK_P)
    channel = pixels % CHANNELS
    column = (pixels // CHANNELS) % PATCH
    row = pixels // (CHANNELS * PATCH)
    patch = rows % num_patches
    start = (rows // num_patches).to(tl.int64) * stride_b
    start += (patch // grid_columns) * PATCH * stride_h + (patch % grid_columns) * PATCH * stride_w
    place = start[:, None] + (channel * stride_c + row * stride_h + column * stride_w)[None, :]
    inside = hidden[:, None] & (pixels[None, :] < PIXELS)
    target = tl.load(images + place, mask=inside, other=0.0).to(tl.float32)
    if NORM_PIX:
        mean = tl.sum(target, axis=1) / PIXELS
        away = tl.where(inside, target - mean[:, None], 0.0)
        variance = tl.sum(away * away, axis=1) / (PIXELS - 1)
        target = away * tl.rsqrt(variance + EPS)[:, None]
    return target, inside


@triton.jit
def masked_errors(
    prediction,
    images,
    hidden,
    errors,
    num_rows,
    num_patches,
    grid_columns,
    stride_b,
    stride_c,
    stride_h,
    stride_w,
    PIXELS: tl.constexpr,
    BLOCK_P: tl.constexpr,
    PATCH: tl.constexpr,
    CHANNELS: tl.constexpr,
    NORM_PIX: tl.constexpr,
    EPS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Grid: blocks of ROWS patches. errors (num_rows,): mean squared error of each hidden patch, 0 of the others."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    chosen = tl.load(hidden + rows, mask=rows < num_rows, other=0) != 0
    target, inside = _target(
        images, rows, chosen, num_patches, grid_columns, stride_b, stride_c, stride_h, stride_w,
        PIXELS, BLOCK_P, PATCH, CHANNELS, NORM_PIX, EPS,
    )  # fmt: skip
    place = rows.to(tl.int64)[:, None] * PIXELS + tl.arange(0, BLOCK_P)[None, :]
    guess = tl.load(prediction + place, mask=inside, other=0.0).to(tl.float32)
    away = tl.where(inside, guess - target, 0.0)
    tl.store(errors + rows, tl.sum(away * away, axis=1) / PIXELS, mask=rows < num_rows)


@triton.jit
def masked_errors_backward(
    prediction,
    images,
    hidden,
    scale,
    grad,
    num_rows,
    num_patches,
    grid_columns,
    stride_b,
    stride_c,
    stride_h,
    stride_w,
    PIXELS: tl.constexpr,
    BLOCK_P: tl.constexpr,
    PATCH: tl.constexpr,
    CHANNELS: tl.constexpr,
    NORM_PIX: tl.constexpr,
    EPS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Grid: blocks of ROWS patches. scale: one float32, 2 / (hidden patches · PIXELS) times the loss's gradient."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    chosen = tl.load(hidden + rows, mask=rows < num_rows, other=0) != 0
    target, inside = _target(
        images, rows, chosen, num_patches, grid_columns, stride_b, stride_c, stride_h, stride_w,
        PIXELS, BLOCK_P, PATCH, CHANNELS, NORM_PIX, EPS,
    )  # fmt: skip
    pixels = tl.arange(0, BLOCK_P)
    place = rows.to(tl.int64)[:, None] * PIXELS + pixels[None, :]
    guess = tl.load(prediction + place, mask=inside, other=0.0).to(tl.float32)
    result = tl.where(inside, (guess - target) * tl.load(scale), 0.0)
    every = (rows[:, None] < num_rows) & (pixels[None, :] < PIXELS)
    tl.store(grad + place, result.to(grad.dtype.element_ty), mask=every)


@torch.library.custom_op("cavsync::masked_reconstruction_loss", mutates_args=())
def reconstruction_loss_op(
    prediction: Tensor, images: Tensor, hidden: Tensor, patch_size: int, norm_pix: bool
) -> Tensor:
    """Mean squared error over the hidden patches, a float32 scalar."""
    errors = torch.zeros(hidden.numel(), dtype=torch.float32, device=prediction.device)
    if errors.numel():
        grid, sizes, warps = _launch(images, hidden, patch_size, norm_pix)
        masked_errors[grid](
            prediction.contiguous(), images, hidden.contiguous().view(torch.uint8), errors, *sizes, num_warps=warps
        )
    return errors.sum() / hidden.sum().clamp(min=1)


@reconstruction_loss_op.register_fake
def _(prediction: Tensor, images: Tensor, hidden: Tensor, patch_size: int, norm_pix: bool) -> Tensor:
    return prediction.new_empty((), dtype=torch.float32)


@torch.library.custom_op("cavsync::masked_reconstruction_loss_backward", mutates_args=())
def reconstruction_loss_backward_op(
    grad_loss: Tensor, prediction: Tensor, images: Tensor, hidden: Tensor, patch_size: int, norm_pix: bool
) -> Tensor:
    """Gradient of the prediction (B, N, P), 0 at visible patches."""
    grad = torch.empty(prediction.shape, dtype=prediction.dtype, device=prediction.device)
    if grad.numel():
        grid, sizes, warps = _launch(images, hidden, patch_size, norm_pix)
        scale = grad_loss.float() * 2 / (hidden.sum().clamp(min=1) * prediction.shape[-1])
        masked_errors_backward[grid](
            *(prediction.contiguous(), images, hidden.contiguous().view(torch.uint8), scale, grad),
            *sizes,
            num_warps=warps,
        )
    return grad


@reconstruction_loss_backward_op.register_fake
def _(grad_loss: Tensor, prediction: Tensor, images: Tensor, hidden: Tensor, patch_size: int, norm_pix: bool) -> Tensor:
    return torch.empty(prediction.shape, dtype=prediction.dtype, device=prediction.device)


def _launch(images: Tensor, hidden: Tensor, patch_size: int, norm_pix: bool) -> tuple[tuple[int], tuple[Any, ...], int]:
    """Grid, sizes and strides as both kernels take them, and warps per program."""
    channels, pixels = images.shape[1], images.shape[1] * patch_size**2
    block = next_power_of_2(pixels)
    rows = max(1, TILE_ELEMENTS // block)
    sizes = (
        *(hidden.numel(), hidden.shape[1], images.shape[3] // patch_size, *images.stride()),
        *(pixels, block, patch_size, channels, norm_pix, PIXEL_NORM_EPS, rows),
    )
    return (triton.cdiv(hidden.numel(), rows),), sizes, 4 if block <= 2 * TILE_ELEMENTS else 8


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    prediction, images, hidden, ctx.patch_size, ctx.norm_pix = inputs
    ctx.save_for_backward(prediction, images, hidden)


def _backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
    grad = reconstruction_loss_backward_op(grad_loss, *ctx.saved_tensors, ctx.patch_size, ctx.norm_pix)
    return grad, None, None, None, None


reconstruction_loss_op.register_autograd(_backward, setup_context=_setup_context)


def _not_supported_reasons(
    prediction: Tensor, images: Tensor, hidden: Tensor, patch_size: int, norm_pix: bool
) -> list[str]:
    reasons = device_reasons(prediction, images, hidden)
    if prediction.shape[-1] > MAX_PIXELS:
        reasons.append(f"a patch has {prediction.shape[-1]} values, more than {MAX_PIXELS}")
    return reasons


def _run(prediction: Tensor, images: Tensor, hidden: Tensor, patch_size: int, norm_pix: bool) -> Tensor:
    loss: Tensor = reconstruction_loss_op(prediction, images.detach(), hidden, patch_size, norm_pix)
    return loss


IMPLEMENTATION = Implementation(_run, _not_supported_reasons)
