"""The contrastive loss, over the whole batch of all processes."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from cavsync.errors import ConfigError
from cavsync.kernels import info_nce


def contrastive_loss(
    audio: Tensor,
    visual: Tensor,
    temperature: Tensor | float,
    bidirectional: bool = False,
    ignore: Tensor | None = None,
    gather: bool = True,
) -> tuple[Tensor, Tensor]:
    """InfoNCE between pooled vectors (B, D): each frame against all audio, and the reverse where bidirectional.

    ignore: bool (B, B), [frame, audio] pairs left out of the negatives; positives are never left out.
    In a process group the negatives come from all processes, unless `gather` is False; the mean of the processes'
    losses, weighted by their numbers of pairs, is the loss of the whole batch. Returns (loss, accuracy), scalars.
    Raises ConfigError where ignore has another shape. Source: CAV-MAE, arXiv 2210.07839, section 3.
    """
    batch = audio.shape[0]
    if ignore is not None and tuple(ignore.shape) != (batch, batch):
        raise ConfigError(
            f"contrastive_ignore has shape {tuple(ignore.shape)}, expected ({batch}, {batch}): one entry per pair."
        )
    loss, accuracy = _one_direction(visual, audio, temperature, ignore, gather)
    if not bidirectional:
        return loss, accuracy
    reverse_loss, reverse_accuracy = _one_direction(
        audio, visual, temperature, None if ignore is None else ignore.T, gather
    )
    return (loss + reverse_loss) / 2, (accuracy + reverse_accuracy) / 2


def _one_direction(
    queries: Tensor, keys: Tensor, temperature: Tensor | float, ignore: Tensor | None, gather: bool
) -> tuple[Tensor, Tensor]:
    if not (gather and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return info_nce(queries, keys, temperature, ignore=ignore)
    counts = _counts_of_ranks(len(keys), keys.device)
    all_keys: Tensor = _GatherRows.apply(keys, counts)  # type: ignore[no-untyped-call]
    first = sum(counts[: dist.get_rank()])
    # Pairs to ignore come from one visit to a clip, which stays in one process.
    return info_nce(queries, all_keys, temperature, first_positive=first, ignore=ignore)


def _counts_of_ranks(count: int, device: torch.device) -> list[int]:
    """Number of rows in each process: unequal where clips were rejected."""
    mine = torch.tensor([count], device=device)
    found = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(found, mine)
    return [int(number) for number in torch.cat(found).tolist()]


class _GatherRows(torch.autograd.Function):
    """Rows of all processes, in order of rank; gradients of all processes flow back to the owner."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        padded = rows.new_zeros((max(counts), *rows.shape[1:]))
        padded[: len(rows)] = rows
        gathered = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(gathered, padded)
        return torch.cat([part[:count] for part, count in zip(gathered, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        first = sum(ctx.counts[: dist.get_rank()])
        return gradient[first : first + ctx.counts[dist.get_rank()]], None
