"""Device code of the packed LayerNorm: blocks of rows, none of which spans two streams."""

import triton
import triton.language as tl


@triton.jit
def _stream_of(bounds, program, NUM_SETS: tl.constexpr, ROWS: tl.constexpr):
    """The stream whose rows a program works on, ROWS at a time: (set, first row, end of the stream)."""
    chosen = 0
    first = 0
    last = 0
    before = 0
    for index in tl.static_range(NUM_SETS):
        begin = tl.load(bounds + index)
        end = tl.load(bounds + index + 1)
        programs = tl.cdiv(end - begin, ROWS)
        inside = (program >= before) & (program < before + programs)
        chosen = tl.where(inside, index, chosen)
        first = tl.where(inside, begin + (program - before) * ROWS, first)
        last = tl.where(inside, end, last)
        before += programs
    return chosen, first, last


@triton.jit
def norm_forward(
    x,
    branch,
    weights,
    biases,
    bounds,
    total,
    normed,
    mean,
    rstd,
    eps,
    x_stride,
    branch_stride,
    WIDTH: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ROWS: tl.constexpr,
    NUM_SETS: tl.constexpr,
    HAS_BRANCH: tl.constexpr,
):
    """Grid: blocks of ROWS rows, none across streams. mean and rstd (tokens,) float32 are kept for the backward."""
    chosen, first, last = _stream_of(bounds, tl.program_id(0), NUM_SETS, ROWS)
    rows = first + tl.arange(0, ROWS)
    columns = tl.arange(0, BLOCK_D)
    inside = (rows[:, None] < last) & (columns[None, :] < WIDTH)
    wide_rows = rows.to(tl.int64)[:, None]
    value = tl.load(x + wide_rows * x_stride + columns[None, :], mask=inside, other=0.0).to(tl.float32)
    if HAS_BRANCH:
        value += tl.load(branch + wide_rows * branch_stride + columns[None, :], mask=inside, other=0.0).to(tl.float32)
        tl.store(total + wide_rows * WIDTH + columns[None, :], value.to(total.dtype.element_ty), mask=inside)
        # Normalise the sum as rounded in memory, which is what the backward reads.
        value = value.to(total.dtype.element_ty).to(tl.float32)
    centre = tl.sum(value, axis=1) / WIDTH
    away = tl.where(inside, value - centre[:, None], 0.0)
    scale = tl.rsqrt(tl.sum(away * away, axis=1) / WIDTH + eps)
    weight = tl.load(weights + chosen * WIDTH + columns, mask=columns < WIDTH, other=0.0).to(tl.float32)
    bias = tl.load(biases + chosen * WIDTH + columns, mask=columns < WIDTH, other=0.0).to(tl.float32)
    result = away * scale[:, None] * weight[None, :] + bias[None, :]
    tl.store(normed + wide_rows * WIDTH + columns[None, :], result.to(normed.dtype.element_ty), mask=inside)
    tl.store(mean + rows, centre, mask=rows < last)
    tl.store(rstd + rows, scale, mask=rows < last)


@triton.jit
def norm_backward(
    grad_normed,
    grad_total,
    total,
    weights,
    bounds,
    mean,
    rstd,
    grad_x,
    grad_branch,
    partial_weight,
    partial_bias,
    total_stride,
    WIDTH: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ROWS: tl.constexpr,
    STEPS: tl.constexpr,
    NUM_SETS: tl.constexpr,
    HAS_GRAD_TOTAL: tl.constexpr,
    HAS_GRAD_BRANCH: tl.constexpr,
):
    """Grid: blocks of ROWS · STEPS rows, none across streams; each leaves one row of partial sums (programs, WIDTH)."""
    chosen, first, last = _stream_of(bounds, tl.program_id(0), NUM_SETS, ROWS * STEPS)
    columns = tl.arange(0, BLOCK_D)
    weight = tl.load(weights + chosen * WIDTH + columns, mask=columns < WIDTH, other=0.0).to(tl.float32)
    weight_sum = tl.zeros((BLOCK_D,), tl.float32)
    bias_sum = tl.zeros((BLOCK_D,), tl.float32)
    for step in range(STEPS):
        rows = first + step * ROWS + tl.arange(0, ROWS)
        inside = (rows[:, None] < last) & (columns[None, :] < WIDTH)
        wide_rows = rows.to(tl.int64)[:, None]
        place = wide_rows * WIDTH + columns[None, :]
        value = tl.load(total + wide_rows * total_stride + columns[None, :], mask=inside, other=0.0).to(tl.float32)
        grad = tl.load(grad_normed + place, mask=inside, other=0.0).to(tl.float32)
        centre = tl.load(mean + rows, mask=rows < last, other=0.0)
        scale = tl.load(rstd + rows, mask=rows < last, other=0.0)
        unit = tl.where(inside, (value - centre[:, None]) * scale[:, None], 0.0)
        weight_sum += tl.sum(grad * unit, axis=0)
        bias_sum += tl.sum(grad, axis=0)
        scaled = grad * weight[None, :]
        common = tl.sum(scaled, axis=1) / WIDTH
        along = tl.sum(scaled * unit, axis=1) / WIDTH
        result = (scaled - common[:, None] - unit * along[:, None]) * scale[:, None]
        if HAS_GRAD_TOTAL:
            result += tl.load(grad_total + place, mask=inside, other=0.0).to(tl.float32)
        tl.store(grad_x + place, result.to(grad_x.dtype.element_ty), mask=inside)
        if HAS_GRAD_BRANCH:
            tl.store(grad_branch + place, result.to(grad_branch.dtype.element_ty), mask=inside)
    partial = tl.program_id(0) * WIDTH + columns
    tl.store(partial_weight + partial, weight_sum, mask=columns < WIDTH)
    tl.store(partial_bias + partial, bias_sum, mask=columns < WIDTH)


@triton.jit
def sum_partials(
    partial_weight,
    partial_bias,
    bounds,
    grad_weights,
    grad_biases,
    WIDTH: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_P: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Grid (sets, blocks of BLOCK_D columns): add up a stream's partial sums, always in the same order."""
    chosen = tl.program_id(0)
    columns = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    before = 0
    for index in range(chosen):
        before += tl.cdiv(tl.load(bounds + index + 1) - tl.load(bounds + index), ROWS)
    programs = tl.cdiv(tl.load(bounds + chosen + 1) - tl.load(bounds + chosen), ROWS)
    weight_sum = tl.zeros((BLOCK_D,), tl.float32)
    bias_sum = tl.zeros((BLOCK_D,), tl.float32)
    for step in range(0, programs, BLOCK_P):
        rows = step + tl.arange(0, BLOCK_P)
        inside = (rows[:, None] < programs) & (columns[None, :] < WIDTH)
        place = (before + rows[:, None]) * WIDTH + columns[None, :]
        weight_sum += tl.sum(tl.load(partial_weight + place, mask=inside, other=0.0), axis=0)
        bias_sum += tl.sum(tl.load(partial_bias + place, mask=inside, other=0.0), axis=0)
    tl.store(grad_weights + chosen * WIDTH + columns, weight_sum, mask=columns < WIDTH)
    tl.store(grad_biases + chosen * WIDTH + columns, bias_sum, mask=columns < WIDTH)
