"""InfoNCE in chunks: only a few rows of the logits (N, M) exist at a time, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cavsync.kernels.dispatch import Implementation

CHUNK_BYTES = 64 * 2**20
"""Memory for one chunk of logits."""


class ChunkedInfoNce(torch.autograd.Function):
    """Keeps one number per query for the backward, which recomputes each chunk's softmax."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        temperature: Tensor,
        first_positive: int,
        ignore: Tensor | None,
        chunk_rows: int,
    ) -> tuple[Tensor, Tensor]:
        """Loss and accuracy, scalars; arguments as in the specification."""
        count = len(queries)
        log_sums, gaps, hits = [], [], []
        loss = queries.new_zeros(())
        for first in range(0, count, chunk_rows):
            logits, positives = _logits(queries, keys, temperature, first_positive, ignore, first, chunk_rows)
            log_sum = logits.logsumexp(dim=1)
            own = logits.gather(1, positives[:, None])[:, 0]
            hits.append(logits.argmax(dim=1) == positives)
            loss = loss + (log_sum - own).sum()
            weights = torch.exp(logits - log_sum[:, None])
            # The softmax's mean logit minus the positive's: all that the gradient of the temperature needs.
            gaps.append(weights.mul_(logits.clamp_(min=torch.finfo(logits.dtype).min)).sum(dim=1) - own)
            log_sums.append(log_sum)
        accuracy = torch.cat(hits).float().mean()
        ctx.save_for_backward(queries, keys, temperature, ignore, torch.cat(log_sums), torch.cat(gaps))
        ctx.first_positive, ctx.chunk_rows = first_positive, chunk_rows
        ctx.mark_non_differentiable(accuracy)
        return loss / count, accuracy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor, _grad_accuracy: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of queries, keys and temperature."""
        queries, keys, temperature, ignore, log_sums, gaps = ctx.saved_tensors
        scale = grad_loss / (len(queries) * temperature)
        grad_queries, grad_keys = torch.empty_like(queries), torch.zeros_like(keys)
        with torch.autocast(queries.device.type, enabled=False):
            for first in range(0, len(queries), ctx.chunk_rows):
                rows = slice(first, first + ctx.chunk_rows)
                logits, positives = _logits(
                    queries, keys, temperature, ctx.first_positive, ignore, first, ctx.chunk_rows
                )
                grad_logits = logits.sub_(log_sums[rows, None]).exp_()
                grad_logits[torch.arange(len(positives), device=positives.device), positives] -= 1
                torch.mm(grad_logits, keys, out=grad_queries[rows])
                grad_keys.addmm_(grad_logits.T, queries[rows])
        return grad_queries * scale, grad_keys * scale, -scale * gaps.sum(), None, None, None


def _logits(
    queries: Tensor,
    keys: Tensor,
    temperature: Tensor,
    first_positive: int,
    ignore: Tensor | None,
    first: int,
    chunk_rows: int,
) -> tuple[Tensor, Tensor]:
    """Logits of one chunk of queries, -inf where ignored, and the index of each one's positive."""
    chunk = queries[first : first + chunk_rows]
    logits = (chunk @ keys.T).div_(temperature)
    own = torch.arange(first, first + len(chunk), device=queries.device)
    if ignore is not None:
        others = ignore[first : first + len(chunk)].clone()
        others[own - first, own] = False
        logits[:, first_positive : first_positive + len(queries)].masked_fill_(others, -torch.inf)
    return logits, own + first_positive


def _run(
    queries: Tensor, keys: Tensor, temperature: Tensor, first_positive: int, ignore: Tensor | None
) -> tuple[Tensor, Tensor]:
    chunk_rows = max(1, CHUNK_BYTES // (len(keys) * queries.element_size()))
    loss, accuracy = ChunkedInfoNce.apply(  # type: ignore[no-untyped-call]
        queries, keys, temperature, first_positive, ignore, min(chunk_rows, len(queries))
    )
    return loss, accuracy


IMPLEMENTATION = Implementation(_run)
