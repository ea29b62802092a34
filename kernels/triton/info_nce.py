"""InfoNCE as an operator: the matrix of logits is never in memory, forward or backward."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from cavsync.kernels.dispatch import Implementation
from cavsync.kernels.triton.info_nce_tiles import row_statistics, vector_gradients
from cavsync.kernels.triton.support import device_reasons, next_power_of_2

BLOCK_QUERIES, BLOCK_KEYS, BLOCK_CHANNELS = 32, 64, 32
OWN_VECTORS, OTHER_VECTORS, MAX_GRADIENT_CHANNELS = 32, 32, 128
ENOUGH_PROGRAMS = 512


@torch.library.custom_op("cavsync::info_nce", mutates_args=())
def info_nce_op(
    queries: Tensor, keys: Tensor, temperature: Tensor, first_positive: int, ignore: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Loss and accuracy (scalars); per query its log-sum-exp, and its mean logit minus its positive's."""
    queries, keys = queries.contiguous(), keys.contiguous()
    (count, width), num_keys = queries.shape, len(keys)
    blocks = triton.cdiv(count, BLOCK_QUERIES)
    splits = max(1, min(ENOUGH_PROGRAMS // blocks, triton.cdiv(num_keys, BLOCK_KEYS)))
    keys_per_split = triton.cdiv(triton.cdiv(num_keys, splits), BLOCK_KEYS) * BLOCK_KEYS
    splits = triton.cdiv(num_keys, keys_per_split)
    log_sums, expected, positive, best = queries.new_empty((4, splits, count)).unbind(0)
    best_key = torch.empty((splits, count), dtype=torch.int32, device=queries.device)
    grid = (blocks, splits)
    row_statistics[grid](
        *(queries, keys, temperature, _bytes(ignore, queries), log_sums, expected, positive, best, best_key),
        *(count, num_keys, first_positive, keys_per_split, width),
        *(BLOCK_QUERIES, BLOCK_KEYS, BLOCK_CHANNELS, ignore is not None),
        num_warps=4,
    )
    log_sum = log_sums.logsumexp(dim=0)
    own = positive.sum(dim=0)
    gap = (torch.exp(log_sums - log_sum) * expected).sum(dim=0) - own
    winner = best_key.gather(0, best.argmax(dim=0, keepdim=True))[0]
    hits = winner == torch.arange(first_positive, first_positive + count, device=queries.device)
    return (log_sum - own).mean(), hits.float().mean(), log_sum, gap


@info_nce_op.register_fake
def _(
    queries: Tensor, keys: Tensor, temperature: Tensor, first_positive: int, ignore: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    scalar, rows = queries.new_empty(()), queries.new_empty((queries.shape[0],))
    return scalar, torch.empty_like(scalar), rows, torch.empty_like(rows)


@torch.library.custom_op("cavsync::info_nce_backward", mutates_args=())
def info_nce_backward_op(
    grad_loss: Tensor,
    queries: Tensor,
    keys: Tensor,
    temperature: Tensor,
    log_sum: Tensor,
    first_positive: int,
    ignore: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Gradients of queries (N, D) and keys (M, D)."""
    queries, keys = queries.contiguous(), keys.contiguous()
    scale = grad_loss.float() / (len(queries) * temperature)
    grads = torch.empty_like(queries), torch.empty_like(keys)
    width = queries.shape[1]
    channels = max(16, min(MAX_GRADIENT_CHANNELS, next_power_of_2(width)))
    for own, other, grad in ((queries, keys, grads[0]), (keys, queries, grads[1])):
        grid = (triton.cdiv(len(own), OWN_VECTORS), triton.cdiv(width, channels))
        vector_gradients[grid](
            *(own, other, log_sum, _bytes(ignore, queries), temperature, scale, grad),
            *(len(own), len(other), first_positive, width),
            *(OWN_VECTORS, OTHER_VECTORS, BLOCK_CHANNELS, channels, own is queries, ignore is not None),
            num_warps=4,
        )
    return grads


@info_nce_backward_op.register_fake
def _(
    grad_loss: Tensor,
    queries: Tensor,
    keys: Tensor,
    temperature: Tensor,
    log_sum: Tensor,
    first_positive: int,
    ignore: Tensor | None,
) -> tuple[Tensor, Tensor]:
    return queries.new_empty(queries.shape), keys.new_empty(keys.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    queries, keys, temperature, ctx.first_positive, ignore = inputs
    _, accuracy, log_sum, gap = output
    ctx.mark_non_differentiable(accuracy, log_sum, gap)
    ctx.save_for_backward(queries, keys, temperature, log_sum, gap, ignore)


def _backward(ctx: Any, grad_loss: Tensor, *_others: Tensor | None) -> tuple[Tensor | None, ...]:
    queries, keys, temperature, log_sum, gap, ignore = ctx.saved_tensors
    grad_queries, grad_keys = info_nce_backward_op(
        grad_loss, queries, keys, temperature, log_sum, ctx.first_positive, ignore
    )
    grad_temperature = -grad_loss * gap.sum() / (len(queries) * temperature)
    return grad_queries, grad_keys, grad_temperature, None, None


info_nce_op.register_autograd(_backward, setup_context=_setup_context)


def _bytes(ignore: Tensor | None, stand_in: Tensor) -> Tensor:
    """The mask as bytes; kernels compiled without a mask get an arbitrary pointer."""
    return stand_in if ignore is None else ignore.contiguous().view(torch.uint8)


def _not_supported_reasons(
    queries: Tensor, keys: Tensor, temperature: Tensor, first_positive: int, ignore: Tensor | None
) -> list[str]:
    reasons = device_reasons(queries, keys, temperature, ignore)
    if queries.dtype != torch.float32 or keys.dtype != torch.float32:
        reasons.append("queries and keys are not float32")
    return reasons


def _run(
    queries: Tensor, keys: Tensor, temperature: Tensor, first_positive: int, ignore: Tensor | None
) -> tuple[Tensor, Tensor]:
    loss, accuracy, _, _ = info_nce_op(queries, keys, temperature, first_positive, ignore)
    return loss, accuracy


IMPLEMENTATION = Implementation(_run, _not_supported_reasons)
