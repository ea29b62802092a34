"""The tensor operations of one pretraining step of the published model, at its sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cavsync.kernels import (
    Segments,
    attention,
    bias_gelu,
    info_nce,
    kept_patch_embedding,
    masked_reconstruction_loss,
    modality_layer_norm,
)


@dataclass(frozen=True)
class Case:
    """One operation at one size.

    run: leaves (which get gradients) -> differentiable result. flops and moved_bytes: minimum work of the forward.
    compiles: whether PyTorch's compiler is asked about the reference.
    """

    operation: str
    shape: str
    leaves: Callable[[], list[Tensor]]
    run: Callable[..., Tensor]
    flops: float
    moved_bytes: float
    compiles: bool = True


def cases(batch: int, device: torch.device, dtype: torch.dtype) -> list[Case]:
    """Return the operations of one pretraining step of cav-mae-sync-base."""
    return [
        *_attention_cases(batch, device, dtype),
        *_layer_norm_cases(batch, device, dtype),
        *_gelu_cases(batch, device, dtype),
        *_patch_cases(batch, device, dtype),
        *_loss_cases(batch, device, dtype),
    ]


def _attention_cases(batch: int, device: torch.device, dtype: torch.dtype) -> list[Case]:
    found = []
    joint = Segments(((batch, 53), (batch, 50), (batch, 101)))
    for heads, width, segments in (
        (12, 64, Segments.uniform(batch, 61)),
        (12, 64, Segments.uniform(batch, 58)),
        (12, 64, joint),
        (16, 32, Segments.uniform(batch, 404)),
    ):
        dense = segments.runs[0] if len(segments.runs) == 1 else None
        shape = (*dense, 3, heads, width) if dense else (segments.num_tokens, 3, heads, width)
        squares = sum(count * length**2 for count, length in segments.runs)
        found.append(
            Case(
                "attention",
                "x".join(map(str, shape)),
                lambda shape=shape: [torch.randn(shape, device=device).to(dtype)],  # type: ignore[misc]
                lambda qkv, packing=None if dense else segments: attention(qkv, packing),
                4.0 * squares * heads * width,
                4.0 * segments.num_tokens * heads * width * dtype.itemsize,
                # The reference takes one sequence after the other: the compiler would unroll hundreds of them.
                compiles=dense is not None,
            )
        )
    return found


def _layer_norm_cases(batch: int, device: torch.device, dtype: torch.dtype) -> list[Case]:
    found = []
    for width, rows in ((768, [53 * batch, 50 * batch, 101 * batch]), (512, [404 * batch])):
        tokens = sum(rows)

        def leaves(tokens: int = tokens, width: int = width, sets: int = len(rows)) -> list[Tensor]:
            stream = torch.randn(tokens, width, device=device)
            return [stream, stream.to(dtype), *torch.randn(2, sets, width, device=device).unbind(0)]

        def run(x: Tensor, branch: Tensor, weights: Tensor, biases: Tensor, rows: list[int] = rows) -> Tensor:
            total, normed = modality_layer_norm(x, branch, weights, biases, rows, dtype)
            return total + normed

        moved = tokens * width * (4 + dtype.itemsize) * 2.0
        found.append(Case("modality_layer_norm", f"{tokens}x{width}, {len(rows)} sets", leaves, run, 0.0, moved))
    return found


def _gelu_cases(batch: int, device: torch.device, dtype: torch.dtype) -> list[Case]:
    found = []
    for tokens, width in ((204 * batch, 3072), (404 * batch, 2048)):

        def leaves(tokens: int = tokens, width: int = width) -> list[Tensor]:
            return [torch.randn(tokens, width, device=device).to(dtype), torch.randn(width, device=device)]

        moved = 2.0 * tokens * width * dtype.itemsize
        found.append(Case("bias_gelu", f"{tokens}x{width}", leaves, bias_gelu, 0.0, moved))
    return found


def _patch_cases(batch: int, device: torch.device, dtype: torch.dtype) -> list[Case]:
    found = []
    for channels, height, width, kept in ((1, 128, 416, 52), (3, 224, 224, 49)):
        count, pixels = height // 16 * (width // 16), channels * 256
        images = torch.randn(batch, channels, width, height, device=device).transpose(2, 3)
        ids = torch.rand(batch, count, device=device).argsort(dim=1)[:, :kept]

        def leaves(channels: int = channels, count: int = count) -> list[Tensor]:
            shapes = ((768, channels, 16, 16), (768,), (count, 768), (768,))
            weight, *rest = [torch.randn(shape, device=device) for shape in shapes]
            return [weight.to(dtype), *rest]

        def run(*parameters: Tensor, images: Tensor = images, ids: Tensor = ids) -> Tensor:
            return kept_patch_embedding(images, ids, *parameters)

        shape = f"{batch}x{channels}x{height}x{width}, {kept} of {count} kept"
        moved = batch * kept * (pixels * 4.0 + 768 * 4)
        found.append(Case("kept_patch_embedding", shape, leaves, run, 2.0 * batch * kept * pixels * 768, moved))
    return found


def _loss_cases(batch: int, device: torch.device, dtype: torch.dtype) -> list[Case]:
    found = []
    for channels, height, width in ((1, 128, 416), (3, 224, 224)):
        count, pixels = height // 16 * (width // 16), channels * 256
        images = torch.randn(batch, channels, width, height, device=device).transpose(2, 3)
        hidden = torch.rand(batch, count, device=device) < 0.75

        def predictions(count: int = count, pixels: int = pixels) -> list[Tensor]:
            return [torch.randn(batch, count, pixels, device=device).to(dtype)]

        def loss(prediction: Tensor, images: Tensor = images, hidden: Tensor = hidden) -> Tensor:
            return masked_reconstruction_loss(prediction, images, hidden, 16, True)

        moved = 0.75 * batch * count * pixels * (4.0 + dtype.itemsize)
        shape = f"{batch}x{count}x{pixels}"
        found.append(Case("masked_reconstruction_loss", shape, predictions, loss, 0.0, moved))
    # On the device, as the model's: a number would be copied there in each call, and the host would wait for that.
    temperature = torch.tensor(0.05, device=device)
    for rows, keys in ((batch, batch), (16 * batch, 128 * batch)):

        def vectors(rows: int = rows, keys: int = keys) -> list[Tensor]:
            return [torch.randn(count, 768, device=device) for count in (rows, keys)]

        def contrast(queries: Tensor, others: Tensor) -> Tensor:
            return info_nce(queries, others, temperature)[0]

        moved = (rows + keys) * 768 * 4.0
        found.append(Case("info_nce", f"{rows}x{keys}x768", vectors, contrast, 2.0 * rows * keys * 768, moved))
    return found
