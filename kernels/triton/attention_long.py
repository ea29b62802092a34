"""Attention for longer sequences: blocks of queries against a running softmax over blocks of keys.

Source: FlashAttention-2, Dao 2023, arXiv 2307.08691. Layout as in `attention_short`.
"""

import triton
import triton.language as tl

from cavsync.kernels.triton.attention_short import load_head, store_head
from cavsync.kernels.triton.support import LOG2_E, dot


@triton.jit
def long_forward(
    qkv,
    out,
    lse,
    table,
    scale,
    num_tokens,
    row_stride,
    part_stride,
    head_stride,
    out_row_stride,
    HEAD_DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Grid (heads, sequences, blocks of BLOCK_M queries of the longest sequence)."""
    head = tl.program_id(0)
    start = tl.load(table + 2 * tl.program_id(1)).to(tl.int64)
    length = tl.load(table + 2 * tl.program_id(1) + 1)
    rows = tl.program_id(2) * BLOCK_M + tl.arange(0, BLOCK_M)
    if tl.program_id(2) * BLOCK_M < length:
        base = qkv + start * row_stride + head * head_stride
        query = load_head(base, rows, row_stride, length, HEAD_DIM, BLOCK_D)
        top = tl.full((BLOCK_M,), float("-inf"), tl.float32)
        total = tl.zeros((BLOCK_M,), tl.float32)
        mixed = tl.zeros((BLOCK_M, BLOCK_D), tl.float32)
        for first in range(0, length, BLOCK_N):
            columns = first + tl.arange(0, BLOCK_N)
            key = load_head(base + part_stride, columns, row_stride, length, HEAD_DIM, BLOCK_D)
            value = load_head(base + 2 * part_stride, columns, row_stride, length, HEAD_DIM, BLOCK_D)
            scores = dot(query, tl.trans(key)) * (scale * LOG2_E)
            scores = tl.where(columns[None, :] < length, scores, float("-inf"))
            higher = tl.maximum(top, tl.max(scores, axis=1))
            weights = tl.exp2(scores - higher[:, None])
            shrink = tl.exp2(top - higher)
            total = total * shrink + tl.sum(weights, axis=1)
            mixed = mixed * shrink[:, None] + dot(weights.to(value.dtype), value)
            top = higher
        mixed = mixed / total[:, None]
        target = out + start * out_row_stride + head * HEAD_DIM
        store_head(target, rows, out_row_stride, length, mixed, HEAD_DIM, BLOCK_D)
        tl.store(lse + head * num_tokens + start + rows, top + tl.log2(total), mask=rows < length)


@triton.jit
def long_share(
    out,
    grad_out,
    share,
    num_tokens,
    out_row_stride,
    HEAD_DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_M: tl.constexpr,
):
    """share (heads, tokens): each output's product with its gradient, which the softmax's backward subtracts.

    Grid (heads, blocks of BLOCK_M tokens).
    """
    head = tl.program_id(0)
    rows = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    base = rows.to(tl.int64)
    mixed = load_head(out + head * HEAD_DIM, base, out_row_stride, num_tokens, HEAD_DIM, BLOCK_D)
    grad = load_head(grad_out + head * HEAD_DIM, base, out_row_stride, num_tokens, HEAD_DIM, BLOCK_D)
    product = tl.sum(mixed.to(tl.float32) * grad.to(tl.float32), axis=1)
    tl.store(share + head * num_tokens + rows, product, mask=rows < num_tokens)


@triton.jit
def _grad_key_value(
    base,
    grad_base,
    lse_base,
    share_base,
    columns,
    length,
    scale,
    row_stride,
    part_stride,
    out_row_stride,
    HEAD_DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_STEP: tl.constexpr,
):
    """Gradients of a block of keys and values, summed over all queries."""
    key = load_head(base + part_stride, columns, row_stride, length, HEAD_DIM, BLOCK_D)
    value = load_head(base + 2 * part_stride, columns, row_stride, length, HEAD_DIM, BLOCK_D)
    grad_key = tl.zeros((BLOCK_N, BLOCK_D), tl.float32)
    grad_value = tl.zeros((BLOCK_N, BLOCK_D), tl.float32)
    for first in range(0, length, BLOCK_STEP):
        rows = first + tl.arange(0, BLOCK_STEP)
        query = load_head(base, rows, row_stride, length, HEAD_DIM, BLOCK_D)
        grad = load_head(grad_base, rows, out_row_stride, length, HEAD_DIM, BLOCK_D)
        # An infinite denominator gives queries beyond the sequence weight 0.
        denominator = tl.load(lse_base + rows, mask=rows < length, other=float("inf"))
        share = tl.load(share_base + rows, mask=rows < length, other=0.0)
        weights = tl.exp2(dot(key, tl.trans(query)) * (scale * LOG2_E) - denominator[None, :])
        grad_value += dot(weights.to(grad.dtype), grad)
        grad_scores = weights * (dot(value, tl.trans(grad)) - share[None, :])
        grad_key += dot(grad_scores.to(query.dtype), query)
    return grad_key * scale, grad_value


@triton.jit
def _grad_query(
    base,
    grad_base,
    lse_base,
    share_base,
    rows,
    length,
    scale,
    row_stride,
    part_stride,
    out_row_stride,
    HEAD_DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_STEP: tl.constexpr,
):
    """Gradient of a block of queries, summed over all keys."""
    query = load_head(base, rows, row_stride, length, HEAD_DIM, BLOCK_D)
    grad = load_head(grad_base, rows, out_row_stride, length, HEAD_DIM, BLOCK_D)
    denominator = tl.load(lse_base + rows, mask=rows < length, other=float("inf"))
    share = tl.load(share_base + rows, mask=rows < length, other=0.0)
    grad_query = tl.zeros((BLOCK_N, BLOCK_D), tl.float32)
    for first in range(0, length, BLOCK_STEP):
        columns = first + tl.arange(0, BLOCK_STEP)
        key = load_head(base + part_stride, columns, row_stride, length, HEAD_DIM, BLOCK_D)
        value = load_head(base + 2 * part_stride, columns, row_stride, length, HEAD_DIM, BLOCK_D)
        weights = tl.exp2(dot(query, tl.trans(key)) * (scale * LOG2_E) - denominator[:, None])
        # Keys beyond the sequence are zeros, but where all scores are very low their weight would be infinite.
        weights = tl.where(columns[None, :] < length, weights, 0.0)
        grad_scores = weights * (dot(grad, tl.trans(value)) - share[:, None])
        grad_query += dot(grad_scores.to(key.dtype), key)
    return grad_query * scale


@triton.jit
def long_backward(
    qkv,
    lse,
    share,
    grad_out,
    grad_qkv,
    table,
    scale,
    num_tokens,
    row_stride,
    part_stride,
    head_stride,
    out_row_stride,
    grad_row_stride,
    HEAD_DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_STEP: tl.constexpr,
):
    """Grid (heads, sequences, blocks of BLOCK_N tokens of the longest): all gradients of the block's tokens."""
    head = tl.program_id(0)
    start = tl.load(table + 2 * tl.program_id(1)).to(tl.int64)
    length = tl.load(table + 2 * tl.program_id(1) + 1)
    block = tl.program_id(2) * BLOCK_N + tl.arange(0, BLOCK_N)
    if tl.program_id(2) * BLOCK_N < length:
        base = qkv + start * row_stride + head * head_stride
        grad_base = grad_out + start * out_row_stride + head * HEAD_DIM
        lse_base = lse + head * num_tokens + start
        share_base = share + head * num_tokens + start
        target = grad_qkv + start * grad_row_stride + head * HEAD_DIM
        part = grad_row_stride // 3
        grad_key, grad_value = _grad_key_value(
            base, grad_base, lse_base, share_base, block, length, scale, row_stride, part_stride, out_row_stride,
            HEAD_DIM, BLOCK_D, BLOCK_N, BLOCK_STEP,
        )  # fmt: skip
        store_head(target + part, block, grad_row_stride, length, grad_key, HEAD_DIM, BLOCK_D)
        store_head(target + 2 * part, block, grad_row_stride, length, grad_value, HEAD_DIM, BLOCK_D)
        grad_query = _grad_query(
            base, grad_base, lse_base, share_base, block, length, scale, row_stride, part_stride, out_row_stride,
            HEAD_DIM, BLOCK_D, BLOCK_N, BLOCK_STEP,
        )  # fmt: skip
        store_head(target, block, grad_row_stride, length, grad_query, HEAD_DIM, BLOCK_D)
