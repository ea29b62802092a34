"""Packed self-attention as an operator: chooses kernels and tiles per bucket of sequence lengths."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import triton
from torch import Tensor

from cavsync.kernels.dispatch import Implementation
from cavsync.kernels.segments import Segments
from cavsync.kernels.triton.attention_long import long_backward, long_forward, long_share
from cavsync.kernels.triton.attention_short import short_backward, short_forward
from cavsync.kernels.triton.support import capability_of, device_reasons, next_power_of_2

MIN_HEAD_DIM, MAX_HEAD_DIM = 16, 128
SHORT_BLOCKS = (16, 32, 64, 128)
SHARE_BLOCK_TOKENS = 64


@dataclass(frozen=True)
class Tiles:
    """How the kernels cut a head: without register spills in bf16, and within 99 KiB of shared memory on every GPU.

    short_limit: longest sequence, in tokens, that the short kernels take. queries, keys: tile of the long forward.
    block, step: tokens whose gradients one program of the long backward computes, and tokens per turn of its loops.
    """

    short_limit: int
    queries: int
    keys: int
    forward_warps: int
    forward_stages: int
    block: int
    step: int
    backward_warps: int
    backward_stages: int


def tiles_of(head_block: int, dtype: torch.dtype, capability: tuple[int, int]) -> Tiles:
    """Tiles for a head width (a power of two), dtype and GPU; float32 is for exactness, not for speed.

    Before 9.0, and on 12.0, matrix products take both operands from registers: less is left for long sequences.
    """
    if dtype == torch.float32:
        if head_block <= 64:
            return Tiles(32, 64, 32, 4, 2, 32, 32, 4, 2)
        return Tiles(16, 32, 32, 4, 1, 32, 16, 4, 1)
    short_limit = 128 if capability[0] in (9, 10) else 64
    if head_block <= 32:
        # The fastest of 14 on an H100 at 404 tokens: benchmarks/results/attention_tiles.jsonl.
        return Tiles(short_limit, 128, 64, 4, 3, 128, 32, 4, 3)
    if head_block <= 64:
        return Tiles(short_limit, 128, 64, 8, 3, 64, 64, 4, 2)
    return Tiles(64, 128, 64, 8, 2, 64, 32, 8, 2)


def short_warps(block_tokens: int, head_block: int) -> int:
    """Warps per program of the short kernels."""
    if block_tokens <= 32:
        return 2
    return 4 if block_tokens == 64 and head_block <= 64 else 8


Runs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Bucket:
    """Sequences that share a launch: table (sequences, 2) int32 of start and length; block 0 for the long kernels."""

    block_tokens: int
    num_sequences: int
    max_length: int
    table: Tensor


# Never dropped: a recorded CUDA graph keeps reading it.
@cache
def buckets(runs: Runs, short_limit: int, device: torch.device) -> tuple[Bucket, ...]:
    """Launches for a packing; empty sequences need none."""
    rows: dict[int, list[tuple[int, int]]] = {}
    start = 0
    for length in Segments(runs).lengths:
        if length:
            block = next((b for b in SHORT_BLOCKS if length <= b <= short_limit), 0)
            rows.setdefault(block, []).append((start, length))
        start += length
    return tuple(
        Bucket(block, len(items), max(n for _, n in items), torch.tensor(items, dtype=torch.int32, device=device))
        for block, items in sorted(rows.items())
    )


@torch.library.custom_op("cavsync::attention", mutates_args=())
def attention_op(qkv: Tensor, counts: list[int], lengths: list[int]) -> tuple[Tensor, Tensor]:
    """qkv (tokens, 3, heads, head_dim) -> mixed (tokens, heads, head_dim), log2 of the denominators (heads, tokens)."""
    num_tokens, _, heads, head_dim = qkv.shape
    qkv = _unit_stride(qkv)
    out = qkv.new_empty((num_tokens, heads, head_dim))
    lse = qkv.new_empty((heads, num_tokens), dtype=torch.float32)
    block_d = next_power_of_2(head_dim)
    tiles = tiles_of(block_d, qkv.dtype, capability_of(qkv.device.index))
    for bucket in buckets(_runs(counts, lengths), tiles.short_limit, qkv.device):
        arguments = (
            *(qkv, out, lse, bucket.table, head_dim**-0.5, num_tokens),
            *(qkv.stride(0), qkv.stride(1), qkv.stride(2), out.stride(0), head_dim, block_d),
        )
        grid: tuple[int, ...] = (heads, bucket.num_sequences)
        if bucket.block_tokens:
            warps = short_warps(bucket.block_tokens, block_d)
            short_forward[grid](*arguments, bucket.block_tokens, num_warps=warps)
        else:
            grid = (*grid, math.ceil(bucket.max_length / tiles.queries))
            options = {"num_warps": tiles.forward_warps, "num_stages": tiles.forward_stages}
            long_forward[grid](*arguments, tiles.queries, tiles.keys, **options)
    return out, lse


@attention_op.register_fake
def _(qkv: Tensor, counts: list[int], lengths: list[int]) -> tuple[Tensor, Tensor]:
    num_tokens, _, heads, head_dim = qkv.shape
    return qkv.new_empty((num_tokens, heads, head_dim)), qkv.new_empty((heads, num_tokens), dtype=torch.float32)


@torch.library.custom_op("cavsync::attention_backward", mutates_args=())
def attention_backward_op(
    grad_out: Tensor, qkv: Tensor, out: Tensor, lse: Tensor, counts: list[int], lengths: list[int]
) -> Tensor:
    """Gradient of `attention_op` for its first output: (tokens, 3, heads, head_dim), contiguous."""
    num_tokens, _, heads, head_dim = qkv.shape
    # Output and its gradient are read with the same strides.
    qkv, out, grad_out = _unit_stride(qkv), out.contiguous(), grad_out.contiguous()
    grad_qkv = torch.empty(qkv.shape, dtype=qkv.dtype, device=qkv.device)
    block_d = next_power_of_2(head_dim)
    tiles = tiles_of(block_d, qkv.dtype, capability_of(qkv.device.index))
    launches = buckets(_runs(counts, lengths), tiles.short_limit, qkv.device)
    grid: tuple[int, ...]
    share = None
    if any(not bucket.block_tokens for bucket in launches):
        share = torch.empty_like(lse)
        grid = (heads, triton.cdiv(num_tokens, SHARE_BLOCK_TOKENS))
        long_share[grid](out, grad_out, share, num_tokens, out.stride(0), head_dim, block_d, SHARE_BLOCK_TOKENS)
    strides = (qkv.stride(0), qkv.stride(1), qkv.stride(2), out.stride(0), grad_qkv.stride(0), head_dim, block_d)
    for bucket in launches:
        common = (grad_out, grad_qkv, bucket.table, head_dim**-0.5, num_tokens, *strides)
        grid = (heads, bucket.num_sequences)
        if bucket.block_tokens:
            warps = short_warps(bucket.block_tokens, block_d)
            short_backward[grid](qkv, out, lse, *common, bucket.block_tokens, num_warps=warps)
        else:
            grid = (*grid, math.ceil(bucket.max_length / tiles.block))
            options = {"num_warps": tiles.backward_warps, "num_stages": tiles.backward_stages}
            long_backward[grid](qkv, lse, share, *common, tiles.block, tiles.step, **options)
    return grad_qkv


@attention_backward_op.register_fake
def _(grad_out: Tensor, qkv: Tensor, out: Tensor, lse: Tensor, counts: list[int], lengths: list[int]) -> Tensor:
    return torch.empty(qkv.shape, dtype=qkv.dtype, device=qkv.device)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    qkv, ctx.counts, ctx.lengths = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(qkv, *output)


def _backward(ctx: Any, grad_out: Tensor, _grad_lse: Tensor | None) -> tuple[Tensor, None, None]:
    return attention_backward_op(grad_out, *ctx.saved_tensors, ctx.counts, ctx.lengths), None, None


attention_op.register_autograd(_backward, setup_context=_setup_context)


def _runs(counts: list[int], lengths: list[int]) -> Runs:
    return tuple(zip(counts, lengths, strict=True))


def _unit_stride(qkv: Tensor) -> Tensor:
    return qkv if qkv.stride(-1) == 1 else qkv.contiguous()


def _not_supported_reasons(qkv: Tensor, _segments: Segments | None) -> list[str]:
    reasons = device_reasons(qkv)
    if not MIN_HEAD_DIM <= qkv.shape[-1] <= MAX_HEAD_DIM:
        reasons.append(f"the head width is {qkv.shape[-1]}, outside {MIN_HEAD_DIM} to {MAX_HEAD_DIM}")
    return reasons


def _run(qkv: Tensor, segments: Segments | None) -> Tensor:
    if segments is None:
        batch, length = qkv.shape[:2]
        mixed: Tensor = attention_op(qkv.flatten(0, 1), [batch], [length])[0]
        return mixed.view(batch, length, *mixed.shape[1:])
    counts, lengths = [count for count, _ in segments.runs], [length for _, length in segments.runs]
    packed: Tensor = attention_op(qkv, counts, lengths)[0]
    return packed


def _method(qkv: Tensor, _segments: Segments | None) -> str:
    limit = tiles_of(next_power_of_2(qkv.shape[-1]), qkv.dtype, capability_of(qkv.device.index)).short_limit
    return f"whole sequences in one tile up to {limit} tokens, tile by tile above"


IMPLEMENTATION = Implementation(_run, _not_supported_reasons, _method)
