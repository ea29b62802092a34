"""Attention for sequences of at most 128 tokens: one program holds a whole head in on-chip memory.

Each pass reads query, key and value once; the backward computes all three
gradients from one set of weights. Layout: qkv (tokens, 3, heads, head_dim), sequences packed one after the other.
"""

import triton
import triton.language as tl

from cavsync.kernels.triton.support import LOG2_E, dot


@triton.jit
def load_head(base, rows, row_stride, length, HEAD_DIM: tl.constexpr, BLOCK_D: tl.constexpr):
    """One head of the given rows, (rows, BLOCK_D), zeros outside."""
    channels = tl.arange(0, BLOCK_D)
    pointers = base + rows[:, None] * row_stride + channels[None, :]
    return tl.load(pointers, mask=(rows[:, None] < length) & (channels[None, :] < HEAD_DIM), other=0.0)


@triton.jit
def store_head(base, rows, row_stride, length, tile, HEAD_DIM: tl.constexpr, BLOCK_D: tl.constexpr):
    """Write one head of the given rows, in the dtype of the target."""
    channels = tl.arange(0, BLOCK_D)
    pointers = base + rows[:, None] * row_stride + channels[None, :]
    inside = (rows[:, None] < length) & (channels[None, :] < HEAD_DIM)
    tl.store(pointers, tile.to(base.dtype.element_ty), mask=inside)


@triton.jit
def short_forward(
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
    BLOCK_N: tl.constexpr,
):
    """Grid (heads, sequences). lse (heads, tokens): base-2 logarithm of the softmax's denominator."""
    head = tl.program_id(0)
    start = tl.load(table + 2 * tl.program_id(1)).to(tl.int64)
    length = tl.load(table + 2 * tl.program_id(1) + 1)
    rows = tl.arange(0, BLOCK_N)
    base = qkv + start * row_stride + head * head_stride
    query = load_head(base, rows, row_stride, length, HEAD_DIM, BLOCK_D)
    key = load_head(base + part_stride, rows, row_stride, length, HEAD_DIM, BLOCK_D)
    value = load_head(base + 2 * part_stride, rows, row_stride, length, HEAD_DIM, BLOCK_D)

    scores = dot(query, tl.trans(key)) * (scale * LOG2_E)
    scores = tl.where(rows[None, :] < length, scores, float("-inf"))
    top = tl.max(scores, axis=1)
    weights = tl.exp2(scores - top[:, None])
    total = tl.sum(weights, axis=1)
    mixed = dot(weights.to(value.dtype), value) / total[:, None]
    store_head(out + start * out_row_stride + head * HEAD_DIM, rows, out_row_stride, length, mixed, HEAD_DIM, BLOCK_D)
    tl.store(lse + head * num_tokens + start + rows, top + tl.log2(total), mask=rows < length)


@triton.jit
def short_backward(
    qkv,
    out,
    lse,
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
):
    """Grid (heads, sequences). Works on the transposed weights (keys, queries), which feed two of three products."""
    head = tl.program_id(0)
    start = tl.load(table + 2 * tl.program_id(1)).to(tl.int64)
    length = tl.load(table + 2 * tl.program_id(1) + 1)
    rows = tl.arange(0, BLOCK_N)
    base = qkv + start * row_stride + head * head_stride
    query = load_head(base, rows, row_stride, length, HEAD_DIM, BLOCK_D)
    key = load_head(base + part_stride, rows, row_stride, length, HEAD_DIM, BLOCK_D)
    value = load_head(base + 2 * part_stride, rows, row_stride, length, HEAD_DIM, BLOCK_D)
    mixed_at = start * out_row_stride + head * HEAD_DIM
    mixed = load_head(out + mixed_at, rows, out_row_stride, length, HEAD_DIM, BLOCK_D)
    grad = load_head(grad_out + mixed_at, rows, out_row_stride, length, HEAD_DIM, BLOCK_D)
    # Rows beyond the sequence get weight 0 because no finite score reaches their denominator.
    denominator = tl.load(lse + head * num_tokens + start + rows, mask=rows < length, other=float("inf"))
    share = tl.sum(mixed.to(tl.float32) * grad.to(tl.float32), axis=1)

    weights = tl.exp2(dot(key, tl.trans(query)) * (scale * LOG2_E) - denominator[None, :])
    weights = tl.where(rows[:, None] < length, weights, 0.0)
    grad_value = dot(weights.to(grad.dtype), grad)
    grad_scores = (weights * (dot(value, tl.trans(grad)) - share[None, :]) * scale).to(query.dtype)
    grad_key = dot(grad_scores, query)
    grad_query = dot(tl.trans(grad_scores), key)

    target = grad_qkv + start * grad_row_stride + head * HEAD_DIM
    part = grad_row_stride // 3
    store_head(target, rows, grad_row_stride, length, grad_query, HEAD_DIM, BLOCK_D)
    store_head(target + part, rows, grad_row_stride, length, grad_key, HEAD_DIM, BLOCK_D)
    store_head(target + 2 * part, rows, grad_row_stride, length, grad_value, HEAD_DIM, BLOCK_D)
