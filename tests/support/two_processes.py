"""A contrastive step in two processes, for comparison with the same batch in one."""

from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from cavsync.model.losses import contrastive_loss

BATCH, DIM = 6, 5
FIRST_SIZE = 4
PARTS = (slice(0, FIRST_SIZE), slice(FIRST_SIZE, BATCH))
"""The part of each process: unequal, as after rejected clips."""


def whole_batch() -> tuple[Tensor, Tensor, Tensor]:
    """Return audio and visual vectors, and a mask that ignores pairs only within each part of the batch."""
    generator = torch.Generator().manual_seed(0)
    audio, visual = (torch.randn(BATCH, DIM, generator=generator) for _ in range(2))
    part = torch.arange(BATCH) >= FIRST_SIZE
    same_part = part[:, None] == part[None, :]
    return audio, visual, same_part & (torch.rand(BATCH, BATCH, generator=generator) < 0.5)


def step(audio: Tensor, visual: Tensor, ignore: Tensor, weight: float = 1.0) -> dict[str, Tensor]:
    """Return the loss, the accuracy and the gradients of the weighted loss of one step."""
    audio, visual = audio.clone().requires_grad_(), visual.clone().requires_grad_()
    loss, accuracy = contrastive_loss(audio, visual, 0.1, bidirectional=True, ignore=ignore)
    (loss * weight).backward()
    assert audio.grad is not None
    assert visual.grad is not None
    return {"loss": loss.detach(), "accuracy": accuracy, "audio": audio.grad, "visual": visual.grad}


def run(rank: int, folder: str) -> None:
    """Compute one process's part of the batch and save the result under its rank."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    audio, visual, ignore = whole_batch()
    mine = PARTS[rank]
    result = step(audio[mine], visual[mine], ignore[mine, mine], weight=2 * len(audio[mine]) / BATCH)
    torch.save(result, Path(folder, f"{rank}.pt"))
    dist.destroy_process_group()
