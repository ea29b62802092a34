"""Metrics on the held-out clips."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from lightning_fabric import Fabric

from cavsync.train.data import RunData
from cavsync.train.ema import WeightAverage
from cavsync.train.ranks import Ranks
from cavsync.train.step import over_ranks
from cavsync.train.tasks.task import Draw, Task


@torch.no_grad()
def held_out_metrics(
    model: Any, data: RunData, task: Task, seed: int, fabric: Fabric, ranks: Ranks, average: WeightAverage | None
) -> dict[str, float]:
    """Return mean loss and accuracy over the held-out clips, without augmentation, with the averaged weights if the run
    keeps an average. Empty with fewer held-out clips than processes. Called by all processes."""
    model.eval()
    found = []
    with nullcontext() if average is None else average.swapped_in():
        for batch in data.held_out_batches():
            data.note_rejects(batch)
            counts = ranks.gather([float(len(batch))])
            # Contrast gathers from all processes, so each of them needs a pair.
            if min(count[0] for count in counts) > 0:
                generator = torch.Generator().manual_seed(seed)
                sizes = [int(count[0]) for count in counts]
                draw = Draw(generator, (sum(sizes[: ranks.rank]), sum(sizes)))
                scalars = task.loss(model, batch, fabric.device, draw)[1]
                found.append((scalars, float(len(batch))))
    model.train()
    means = over_ranks(found, ranks)
    return {name: means[source] for name, source in task.held_out.items()} if means else {}
