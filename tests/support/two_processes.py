"""A contrastive step in two processes, for comparison with the same batch in one."""

from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from cavsync.model.losses import contrastive_loss

BATCH, DIM = 6, 5


def whole_batch() -> tuple[Tensor, Tensor, Tensor]:
    """Audio and visual vectors, and a mask that ignores pairs only within each half of the batch."""
    generator = torch.Generator().manual_seed(0)
    audio, visual = (torch.randn(BATCH, DIM, generator=generator) for _ in range(2))
    half = torch.arange(BATCH) // (BATCH // 2)
    same_half = half[:, None] == half[None, :]
    return audio, visual, same_half & (torch.rand(BATCH, BATCH, generator=generator) < 0.5)


def step(audio: Tensor, visual: Tensor, ignore: Tensor) -> dict[str, Tensor]:
    """Loss, accuracy and gradients of one step."""
    audio, visual = audio.clone().requires_grad_(), visual.clone().requires_grad_()
    loss, accuracy = contrastive_loss(audio, visual, 0.1, bidirectional=True, ignore=ignore)
    loss.backward()
    assert audio.grad is not None
    assert visual.grad is not None
    return {"loss": loss.detach(), "accuracy": accuracy, "audio": audio.grad, "visual": visual.grad}


def run(rank: int, folder: str) -> None:
    """What each process does: its half of the batch, result saved under its rank."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    audio, visual, ignore = whole_batch()
    mine = slice(rank * BATCH // 2, (rank + 1) * BATCH // 2)
    torch.save(step(audio[mine], visual[mine], ignore[mine, mine]), Path(folder, f"{rank}.pt"))
    dist.destroy_process_group()
