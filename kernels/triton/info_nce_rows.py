"""What InfoNCE computes between its matrix products, one program per row."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["num_queries"])
def unit_rows(
    queries, keys, units, norms, num_queries, stride_q, stride_k, EPS: tl.constexpr, WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Grid: all queries, then all keys. units (rows, WIDTH) and norms (rows,), both float32."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    if row < num_queries:
        value = tl.load(queries + row * stride_q + columns, mask=inside, other=0.0).to(tl.float32)
    else:
        value = tl.load(keys + (row - num_queries) * stride_k + columns, mask=inside, other=0.0).to(tl.float32)
    norm = tl.sqrt_rn(tl.sum(value * value, axis=0))
    tl.store(units + row * WIDTH + columns, value / tl.maximum(norm, EPS), mask=inside)
    tl.store(norms + row, norm)


@triton.jit
def _log_1p(x):
    """log(1 + x) for x >= 0 with all digits: up to 1/2 by the series of 2 artanh(x / (2 + x)), but for 1e-8."""
    part = x / (2.0 + x)
    square = part * part
    series = 1.0 + square * (1.0 / 3 + square * (1.0 / 5 + square * (1.0 / 7 + square * (1.0 / 9))))
    return tl.where(x < 0.5, 2.0 * part * series, tl.log(1.0 + x))


@triton.jit
def _others(
    start, ignore, first, query, positive, scale, num_queries, num_keys, first_positive, stride_i, stride_j,
    HAS_IGNORE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Keys of one block, which of them are negatives, and their logits, -inf where they are none."""
    keys = first + tl.arange(0, BLOCK)
    negative = (keys < num_keys) & (keys != positive)
    if HAS_IGNORE:
        own = keys - first_positive
        asked = negative & (own >= 0) & (own < num_queries)
        place = query.to(tl.int64) * stride_i + own.to(tl.int64) * stride_j
        negative = negative & (tl.load(ignore + place, mask=asked, other=0) == 0)
    logits = tl.load(start + keys, mask=keys < num_keys, other=0.0) / scale
    return keys, negative, tl.where(negative, logits, -float("inf"))


@triton.jit(do_not_specialize=["first_row", "num_queries", "first_positive", "stride_i", "stride_j"])
def weigh_rows(
    cosines,
    ignore,
    temperature,
    losses,
    hits,
    slopes,
    first_row,
    num_queries,
    num_keys,
    first_positive,
    stride_i,
    stride_j,
    HAS_IGNORE: tl.constexpr,
    WRITES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Grid: queries from first_row on, one row of cosines (queries, num_keys) each.

    losses, hits, slopes (num_queries,): the query's loss, 1 where its positive scores highest, and the gradient of the
    temperature. WRITES: each cosine is replaced by the gradient of the mean loss by it.
    """
    query = first_row + tl.program_id(0)
    positive = first_positive + query
    start = cosines + tl.program_id(0).to(tl.int64) * num_keys
    scale = tl.load(temperature)
    own = tl.load(start + positive) / scale
    # Sums over the negatives alone, since beside the positive's 1 they lose digits. Each lane has its own, relative to
    # the highest logit that it has met, so that the threads wait for each other only once, behind the loop.
    tops = tl.zeros((BLOCK,), tl.float32) + own
    rests = tl.zeros((BLOCK,), tl.float32)
    aways = tl.zeros((BLOCK,), tl.float32)
    beaten = tl.zeros((BLOCK,), tl.int32)
    for first in range(0, num_keys, BLOCK):
        keys, negative, logits = _others(
            start, ignore, first, query, positive, scale, num_queries, num_keys, first_positive, stride_i, stride_j,
            HAS_IGNORE, BLOCK,
        )  # fmt: skip
        # The first of equal logits is the highest. Written so that a negative that is not a number beats, too.
        wins = (own > logits) | ((own == logits) & (keys > positive))
        beaten = tl.where(negative & (wins == 0), 1, beaten)
        higher = tl.maximum(tops, logits)
        weights, shrunk = tl.exp(logits - higher), tl.exp(tops - higher)
        rests = rests * shrunk + weights
        aways = aways * shrunk + weights * tl.where(negative, logits - own, 0.0)
        tops = higher
    top = tl.max(tops, axis=0)
    shrunk = tl.exp(tops - top)
    rest, away = tl.sum(rests * shrunk, axis=0), tl.sum(aways * shrunk, axis=0)
    own_weight = tl.exp(own - top)
    total = rest + own_weight
    # Where the positive is the highest, log(1 + rest): a loss near 0 keeps its digits.
    tl.store(losses + query, top - own + _log_1p(rest + (own_weight - 1.0)))
    tl.store(hits + query, 1.0 - tl.max(beaten, axis=0))
    tl.store(slopes + query, -away / (total * scale))
    if WRITES:
        share = 1.0 / (total * scale * num_queries)
        for first in range(0, num_keys, BLOCK):
            keys, negative, logits = _others(
                start, ignore, first, query, positive, scale, num_queries, num_keys, first_positive, stride_i,
                stride_j, HAS_IGNORE, BLOCK,
            )  # fmt: skip
            weights = tl.where(keys == positive, -rest, tl.exp(logits - top))
            tl.store(start + keys, weights * share, mask=keys < num_keys)


@triton.jit(do_not_specialize=["count"])
def mean_rows(losses, hits, slopes, loss, accuracy, slope, count, BLOCK: tl.constexpr):
    """One program: means of three rows of `count` numbers, always added in the same order."""
    columns = tl.arange(0, BLOCK)
    total_loss = tl.zeros((BLOCK,), tl.float32)
    total_hits = tl.zeros((BLOCK,), tl.float32)
    total_slope = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, count, BLOCK):
        inside = first + columns < count
        total_loss += tl.load(losses + first + columns, mask=inside, other=0.0)
        total_hits += tl.load(hits + first + columns, mask=inside, other=0.0)
        total_slope += tl.load(slopes + first + columns, mask=inside, other=0.0)
    tl.store(loss, tl.sum(total_loss, axis=0) / count)
    tl.store(accuracy, tl.sum(total_hits, axis=0) / count)
    tl.store(slope, tl.sum(total_slope, axis=0) / count)


@triton.jit
def _across(toward, value, norm, upstream, EPS: tl.constexpr):
    """Gradient of a vector from that of its unit vector, `toward`: the part along the vector changes nothing."""
    length = tl.maximum(norm, EPS)
    unit = value / length
    along = tl.where(norm >= EPS, tl.sum(toward * unit, axis=0), 0.0)
    return (toward - along * unit) * (upstream / length)


@triton.jit(do_not_specialize=["num_queries", "skipped"])
def grads_of_rows(
    toward,
    queries,
    keys,
    norms,
    slope,
    grad_loss,
    grad_queries,
    grad_keys,
    grad_temperature,
    num_queries,
    skipped,
    stride_q,
    stride_k,
    EPS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Grid: all queries, then all keys, without the first `skipped`; toward (grid, WIDTH) float32.

    Gradients of the vectors in their own dtypes, and the temperature's, all times grad_loss.
    """
    row = tl.program_id(0).to(tl.int64) + skipped
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    upstream = tl.load(grad_loss)
    if tl.program_id(0) == 0:
        tl.store(grad_temperature, tl.load(slope) * upstream)
    pull = tl.load(toward + (row - skipped) * WIDTH + columns, mask=inside, other=0.0)
    norm = tl.load(norms + row)
    if row < num_queries:
        value = tl.load(queries + row * stride_q + columns, mask=inside, other=0.0).to(tl.float32)
        grad = _across(pull, value, norm, upstream, EPS)
        tl.store(grad_queries + row * WIDTH + columns, grad.to(grad_queries.dtype.element_ty), mask=inside)
    else:
        key = row - num_queries
        value = tl.load(keys + key * stride_k + columns, mask=inside, other=0.0).to(tl.float32)
        grad = _across(pull, value, norm, upstream, EPS)
        tl.store(grad_keys + key * WIDTH + columns, grad.to(grad_keys.dtype.element_ty), mask=inside)
