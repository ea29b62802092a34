"""Device code of InfoNCE: tiles of logits that live in registers only."""

import triton
import triton.language as tl

from cavsync.kernels.triton.support import dot


@triton.jit
def _cosines(
    own,
    other,
    rows,
    columns,
    num_own,
    num_other,
    WIDTH: tl.constexpr,
    BLOCK_OWN: tl.constexpr,
    BLOCK_OTHER: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Products of unit vectors: own rows against other rows, (BLOCK_OWN, BLOCK_OTHER)."""
    product = tl.zeros((BLOCK_OWN, BLOCK_OTHER), tl.float32)
    for first in range(0, WIDTH, BLOCK_K):
        channels = first + tl.arange(0, BLOCK_K)
        inside = (rows[:, None] < num_own) & (channels[None, :] < WIDTH)
        left = tl.load(own + rows.to(tl.int64)[:, None] * WIDTH + channels[None, :], mask=inside, other=0.0)
        inside = (columns[:, None] < num_other) & (channels[None, :] < WIDTH)
        right = tl.load(other + columns.to(tl.int64)[:, None] * WIDTH + channels[None, :], mask=inside, other=0.0)
        product += dot(left, tl.trans(right))
    return product


@triton.jit
def _excluded(ignore, queries, keys, num_queries, num_keys, first_positive, HAS_IGNORE: tl.constexpr):
    """Pairs that are not part of the softmax; queries and keys are indices that broadcast against each other."""
    out = (queries >= num_queries) | (keys >= num_keys)
    if HAS_IGNORE:
        place = keys - first_positive
        known = (queries < num_queries) & (place >= 0) & (place < num_queries)
        marked = tl.load(ignore + queries.to(tl.int64) * num_queries + place, mask=known, other=0) != 0
        out = out | (marked & (place != queries))
    return out


@triton.jit
def row_statistics(
    queries,
    keys,
    temperature,
    ignore,
    log_sums,
    expected,
    positive,
    best,
    best_key,
    num_queries,
    num_keys,
    first_positive,
    keys_per_split,
    WIDTH: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    HAS_IGNORE: tl.constexpr,
):
    """Grid (blocks of queries, splits of the keys). Each output is (splits, queries).

    log_sums: logarithm of the sum of exponentials; expected: the softmax's mean logit; positive: the positive's logit,
    0 in splits without it; best, best_key: the highest logit and the first key that has it.
    """
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    begin = tl.program_id(1) * keys_per_split
    end = tl.minimum(begin + keys_per_split, num_keys)
    cold = tl.load(temperature).to(tl.float32)
    top = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_M,), tl.float32)
    weighted = tl.zeros((BLOCK_M,), tl.float32)
    own = tl.zeros((BLOCK_M,), tl.float32)
    index = tl.zeros((BLOCK_M,), tl.int32)
    for first in range(begin, end, BLOCK_N):
        columns = first + tl.arange(0, BLOCK_N)
        cosines = _cosines(queries, keys, rows, columns, num_queries, end, WIDTH, BLOCK_M, BLOCK_N, BLOCK_K)
        logits = cosines / cold
        out = _excluded(ignore, rows[:, None], columns[None, :], num_queries, end, first_positive, HAS_IGNORE)
        own += tl.sum(tl.where(columns[None, :] == rows[:, None] + first_positive, logits, 0.0), axis=1)
        logits = tl.where(out, float("-inf"), logits)
        block_top = tl.max(logits, axis=1)
        block_index = first + tl.argmax(logits, axis=1, tie_break_left=True)
        index = tl.where(block_top > top, block_index, index)
        higher = tl.maximum(top, block_top)
        # All pairs of a block may be ignored: no finite logit yet, nothing to add.
        base = tl.where(higher == float("-inf"), 0.0, higher)
        weights = tl.exp(logits - base[:, None])
        shrink = tl.exp(top - base)
        total = total * shrink + tl.sum(weights, axis=1)
        weighted = weighted * shrink + tl.sum(weights * tl.where(out, 0.0, logits), axis=1)
        top = higher
    place = tl.program_id(1) * num_queries + rows
    empty = total == 0.0
    mean = tl.where(empty, 0.0, weighted / tl.where(empty, 1.0, total))
    log_sum = tl.where(empty, float("-inf"), top + tl.log(tl.where(empty, 1.0, total)))
    tl.store(log_sums + place, log_sum, mask=rows < num_queries)
    tl.store(expected + place, mean, mask=rows < num_queries)
    tl.store(positive + place, own, mask=rows < num_queries)
    tl.store(best + place, top, mask=rows < num_queries)
    tl.store(best_key + place, index, mask=rows < num_queries)


@triton.jit
def vector_gradients(
    own,
    other,
    log_sums,
    ignore,
    temperature,
    scale,
    grad_own,
    num_own,
    num_other,
    first_positive,
    WIDTH: tl.constexpr,
    BLOCK_OWN: tl.constexpr,
    BLOCK_OTHER: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    OWN_IS_QUERY: tl.constexpr,
    HAS_IGNORE: tl.constexpr,
):
    """Grid (blocks of own vectors, blocks of BLOCK_D channels): gradient of own vectors, summed over all others.

    Serves queries (others are keys) and keys (others are queries) alike. scale: one float32, the loss's gradient over
    number of queries and temperature.
    """
    rows = tl.program_id(0) * BLOCK_OWN + tl.arange(0, BLOCK_OWN)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    cold = tl.load(temperature).to(tl.float32)
    gradient = tl.zeros((BLOCK_OWN, BLOCK_D), tl.float32)
    for first in range(0, num_other, BLOCK_OTHER):
        columns = first + tl.arange(0, BLOCK_OTHER)
        cosines = _cosines(own, other, rows, columns, num_own, num_other, WIDTH, BLOCK_OWN, BLOCK_OTHER, BLOCK_K)
        if OWN_IS_QUERY:
            log_sum = tl.load(log_sums + rows, mask=rows < num_own, other=0.0)[:, None]
            out = _excluded(ignore, rows[:, None], columns[None, :], num_own, num_other, first_positive, HAS_IGNORE)
            positive = columns[None, :] == rows[:, None] + first_positive
        else:
            log_sum = tl.load(log_sums + columns, mask=columns < num_other, other=0.0)[None, :]
            out = _excluded(ignore, columns[None, :], rows[:, None], num_other, num_own, first_positive, HAS_IGNORE)
            positive = rows[:, None] == columns[None, :] + first_positive
        weights = tl.where(out, 0.0, tl.exp(cosines / cold - log_sum))
        weights = tl.where(positive & (out == 0), weights - 1.0, weights)
        inside = (columns[:, None] < num_other) & (channels[None, :] < WIDTH)
        vectors = tl.load(other + columns.to(tl.int64)[:, None] * WIDTH + channels[None, :], mask=inside, other=0.0)
        gradient += dot(weights, vectors)
    inside = (rows[:, None] < num_own) & (channels[None, :] < WIDTH)
    target = grad_own + rows.to(tl.int64)[:, None] * WIDTH + channels[None, :]
    tl.store(target, gradient * tl.load(scale), mask=inside)
