"""InfoNCE with its gradients in one pass: only a few rows of the logits (N, M) exist at a time."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from cavsync.kernels.dispatch import Implementation

CHUNK_BYTES = 64 * 2**20
"""Memory for one chunk of logits."""


def rows_per_chunk(num_queries: int, num_keys: int, chunk_bytes: int) -> int:
    """Number of queries whose float32 logits fit into chunk_bytes, at least 1."""
    return min(max(1, chunk_bytes // (4 * num_keys)), num_queries)


class OnePassInfoNce(torch.autograd.Function):
    """The forward computes the gradients from each chunk of logits while it is there; the backward scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        temperature: Tensor,
        first_positive: int,
        ignore: Tensor | None,
        chunk_rows: int,
        with_gradients: bool,
    ) -> tuple[Tensor, Tensor]:
        """Loss and accuracy, scalars; queries and keys of unit length, other arguments as in the specification."""
        count = len(queries)
        grad_queries, grad_keys = torch.empty_like(queries), torch.empty_like(keys)
        losses, hits = [], []
        for first in range(0, count, chunk_rows):
            rows = slice(first, first + chunk_rows)
            chunk = queries[rows] / temperature
            logits, positives = _logits(chunk, keys, first_positive, ignore, first, count)
            own = logits.gather(1, positives)
            top, winner = logits.max(dim=1, keepdim=True)
            weights = logits.sub_(top).exp_()
            own_weight = weights.gather(1, positives)
            rest = weights.scatter_(1, positives, 0.0).sum(dim=1, keepdim=True)
            # Written so that a loss near 0 keeps its digits: where the positive is the highest, log(1 + rest).
            losses.append(top - own + torch.log1p(rest + (own_weight - 1)))
            hits.append(winner == positives)
            if with_gradients:
                weights.scatter_(1, positives, -rest)
                share = 1 / (count * (rest + own_weight))
                torch.mm(weights, keys, out=grad_queries[rows]).mul_(share / temperature)
                torch.addmm(grad_keys, weights.T, chunk.mul_(share), beta=min(first, 1), out=grad_keys)
        loss, accuracy = torch.cat(losses).mean(), torch.cat(hits).float().mean()
        if with_gradients:
            grad_temperature = -torch.dot(grad_queries.flatten(), queries.flatten()) / temperature
            ctx.save_for_backward(grad_queries, grad_keys, grad_temperature.reshape(temperature.shape))
        ctx.mark_non_differentiable(accuracy)
        return loss, accuracy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor, _grad_accuracy: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of queries, keys and temperature."""
        grad_queries, grad_keys, grad_temperature = ctx.saved_tensors
        return grad_queries * grad_loss, grad_keys * grad_loss, grad_temperature * grad_loss, *(None,) * 4


def _logits(
    chunk: Tensor, keys: Tensor, first_positive: int, ignore: Tensor | None, first: int, count: int
) -> tuple[Tensor, Tensor]:
    """Logits (rows, M) of queries from `first` on, -inf where ignored; the index (rows, 1) of each one's positive.

    chunk: queries divided by the temperature; count: number of all queries.
    """
    logits = chunk @ keys.T
    own = torch.arange(first, first + len(chunk), device=chunk.device)[:, None]
    if ignore is not None:
        others = ignore[first : first + len(chunk)].scatter(1, own, False)
        logits[:, first_positive : first_positive + count].masked_fill_(others, -torch.inf)
    return logits, own + first_positive


def _run(
    queries: Tensor, keys: Tensor, temperature: Tensor, first_positive: int, ignore: Tensor | None
) -> tuple[Tensor, Tensor]:
    unit_queries, unit_keys = F.normalize(queries.float(), dim=-1), F.normalize(keys.float(), dim=-1)
    with_gradients = torch.is_grad_enabled() and any(item.requires_grad for item in (queries, keys, temperature))
    chunk_rows = rows_per_chunk(len(queries), len(keys), CHUNK_BYTES)
    loss, accuracy = OnePassInfoNce.apply(  # type: ignore[no-untyped-call]
        unit_queries, unit_keys, temperature, first_positive, ignore, chunk_rows, with_gradients
    )
    return loss, accuracy


IMPLEMENTATION = Implementation(_run)
