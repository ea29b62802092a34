"""InfoNCE as library products with one kernel between them: few launches, and each logit is read and written once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cavsync.kernels.dispatch import Implementation
from cavsync.kernels.reference import UNIT_EPS
from cavsync.kernels.torch.info_nce import rows_per_chunk
from cavsync.kernels.triton.info_nce_rows import grads_of_rows, mean_rows, unit_rows, weigh_rows
from cavsync.kernels.triton.support import device_reasons, next_power_of_2

CHUNK_BYTES = 256 * 2**20
"""Memory for one chunk of logits.

Fewer rows would leave a large GPU without enough tiles in the product with the keys, whose result is only (rows, D).
"""
MAX_WIDTH = 8192
MIN_BLOCK, MAX_BLOCK = 128, 4096
"""Keys that one step of a row takes: a row of any length is worked off in steps.

Steps are long and have many warps, so that few rows are in work at once and the GPU's cache still has them when they
are read again.
"""
LANE_KEYS = 8
"""Keys of a step that one thread takes at most."""
MEAN_BLOCK = 1024


def _width_block(width: int) -> tuple[int, int]:
    """Columns of a vector's tile, and warps per program."""
    block = next_power_of_2(width)
    return block, 4 if block <= 4096 else 8


@torch.library.custom_op("cavsync::info_nce", mutates_args=())
def info_nce_op(
    queries: Tensor,
    keys: Tensor,
    temperature: Tensor,
    first_positive: int,
    ignore: Tensor | None,
    chunk_rows: int,
    for_queries: bool,
    for_keys: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Loss and accuracy, float32 scalars, and what the backward needs.

    chunk_rows: number of queries whose logits exist at a time. for_queries, for_keys: whether gradients of the queries'
    and the keys' unit vectors are computed, the third result: (N + M, D) float32, without the rows not asked for.
    Then the vectors' norms (N + M,) and the gradient of the temperature, float32.
    """
    loss, accuracy, toward, norms, slope = _outputs(queries, keys, for_queries, for_keys)
    queries, keys = _unit_stride(queries), _unit_stride(keys)
    (count, width), num_keys = queries.shape, len(keys)
    block, warps = _width_block(width)
    units = torch.empty((count + num_keys, width), dtype=torch.float32, device=queries.device)
    grid: tuple[int, ...] = (count + num_keys,)
    unit_rows[grid](
        *(queries, keys, units, norms, count, queries.stride(0), keys.stride(0), UNIT_EPS, width, block),
        num_warps=warps,
    )
    unit_queries, unit_keys = units[:count], units[count:]
    toward_queries, toward_keys = toward[: count * for_queries], toward[count * for_queries :]
    rows = torch.empty((3, count), dtype=torch.float32, device=queries.device)
    logits = torch.empty((min(chunk_rows, count), num_keys), dtype=torch.float32, device=queries.device)
    mask = rows if ignore is None else ignore.view(torch.uint8)
    key_block = min(MAX_BLOCK, max(MIN_BLOCK, next_power_of_2(num_keys)))
    for first in range(0, count, chunk_rows):
        chunk = unit_queries[first : first + chunk_rows]
        weights = torch.mm(chunk, unit_keys.T, out=logits[: len(chunk)])
        grid = (len(chunk),)
        weigh_rows[grid](
            *(weights, mask, temperature, rows[0], rows[1], rows[2], first, count, num_keys, first_positive),
            *(*mask.stride(), ignore is not None, for_queries or for_keys, key_block),
            num_warps=max(4, key_block // (32 * LANE_KEYS)),
        )
        if for_queries:
            torch.mm(weights, unit_keys, out=toward_queries[first : first + chunk_rows])
        if for_keys:
            torch.addmm(toward_keys, weights.T, chunk, beta=min(first, 1), out=toward_keys)
    mean_rows[(1,)](rows[0], rows[1], rows[2], loss, accuracy, slope, count, MEAN_BLOCK)
    return loss, accuracy, toward, norms, slope


def _outputs(
    queries: Tensor, keys: Tensor, for_queries: bool, for_keys: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.float32, device=queries.device)

    wanted = len(queries) * for_queries + len(keys) * for_keys
    return empty(), empty(), empty(wanted, queries.shape[1]), empty(len(queries) + len(keys)), empty()


@info_nce_op.register_fake
def _(
    queries: Tensor,
    keys: Tensor,
    temperature: Tensor,
    first_positive: int,
    ignore: Tensor | None,
    chunk_rows: int,
    for_queries: bool,
    for_keys: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return _outputs(queries, keys, for_queries, for_keys)


@torch.library.custom_op("cavsync::info_nce_backward", mutates_args=())
def info_nce_backward_op(
    grad_loss: Tensor,
    queries: Tensor,
    keys: Tensor,
    toward: Tensor,
    norms: Tensor,
    slope: Tensor,
    for_queries: bool,
    for_keys: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries and keys in their dtypes, empty where not asked for, and of the temperature, a scalar."""
    grad_queries, grad_keys, grad_temperature = _gradients(queries, keys, slope, for_queries, for_keys)
    if not (for_queries or for_keys):
        return grad_queries, grad_keys, slope * grad_loss
    queries, keys = _unit_stride(queries), _unit_stride(keys)
    count, width = queries.shape
    block, warps = _width_block(width)
    grads_of_rows[(len(toward),)](
        *(toward, queries, keys, norms, slope, grad_loss, grad_queries, grad_keys, grad_temperature),
        *(count, 0 if for_queries else count, queries.stride(0), keys.stride(0), UNIT_EPS, width, block),
        num_warps=warps,
    )
    return grad_queries, grad_keys, grad_temperature


def _gradients(
    queries: Tensor, keys: Tensor, slope: Tensor, for_queries: bool, for_keys: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        queries.new_empty(queries.shape if for_queries else (0,)),
        keys.new_empty(keys.shape if for_keys else (0,)),
        torch.empty_like(slope),
    )


@info_nce_backward_op.register_fake
def _(
    grad_loss: Tensor,
    queries: Tensor,
    keys: Tensor,
    toward: Tensor,
    norms: Tensor,
    slope: Tensor,
    for_queries: bool,
    for_keys: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return _gradients(queries, keys, slope, for_queries, for_keys)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    queries, keys, temperature, *_, ctx.for_queries, ctx.for_keys = inputs
    _, accuracy, toward, norms, slope = output
    ctx.mark_non_differentiable(accuracy, toward, norms, slope)
    # Else zeros of all results without a gradient would be written for the backward.
    ctx.set_materialize_grads(False)
    ctx.temperature_shape = temperature.shape
    ctx.save_for_backward(queries, keys, toward, norms, slope)


def _backward(ctx: Any, grad_loss: Tensor | None, *_rest: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad_loss is None:
        return (None,) * 8
    asked = ctx.for_queries, ctx.for_keys
    grad_queries, grad_keys, grad_temperature = info_nce_backward_op(grad_loss, *ctx.saved_tensors, *asked)
    vectors = (grad if wanted else None for grad, wanted in zip((grad_queries, grad_keys), asked, strict=True))
    return *vectors, grad_temperature.view(ctx.temperature_shape), *(None,) * 5


info_nce_op.register_autograd(_backward, setup_context=_setup_context)


def _unit_stride(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _not_supported_reasons(
    queries: Tensor, keys: Tensor, temperature: Tensor, first_positive: int, ignore: Tensor | None
) -> list[str]:
    reasons = device_reasons(queries, keys, temperature, ignore)
    if queries.shape[-1] > MAX_WIDTH:
        reasons.append(f"the vectors have {queries.shape[-1]} numbers, more than {MAX_WIDTH}")
    if not len(queries):
        reasons.append("there are no queries")
    return reasons


def _run(
    queries: Tensor, keys: Tensor, temperature: Tensor, first_positive: int, ignore: Tensor | None
) -> tuple[Tensor, Tensor]:
    asked = [torch.is_grad_enabled() and item.requires_grad for item in (queries, keys)]
    chunk_rows = rows_per_chunk(len(queries), len(keys), CHUNK_BYTES)
    loss, accuracy, *_ = info_nce_op(queries, keys, temperature, first_positive, ignore, chunk_rows, *asked)
    return loss, accuracy


IMPLEMENTATION = Implementation(_run, _not_supported_reasons)
