"""Metrics on the held-out clips."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from lightning_fabric import Fabric

from cavsync.train.data import RunData
from cavsync.train.ema import WeightAverage, reshard
from cavsync.train.ranks import Ranks
from cavsync.train.step import over_ranks
from cavsync.train.tasks.task import Draw, Task


@torch.no_grad()
def held_out_metrics(
    model: Any, data: RunData, task: Task, seed: int, fabric: Fabric, ranks: Ranks, average: WeightAverage | None
) -> dict[str, float]:
    """Return the task's held-out metrics, without augmentation, with the averaged weights if the run keeps an average.

    The same in every process, which all call it; empty with fewer held-out clips than processes.
    """
    model.eval()
    found, parts = [], []
    with nullcontext() if average is None else average.swapped_in():
        for batch in data.held_out_batches():
            data.note_rejects(batch)
            counts = ranks.gather([float(len(batch))])
            # Contrast gathers from all processes, so each of them needs a pair.
            if min(count[0] for count in counts) > 0:
                generator = torch.Generator().manual_seed(seed)
                sizes = [int(count[0]) for count in counts]
                draw = Draw(generator, (sum(sizes[: ranks.rank]), sum(sizes)))
                scalars, part = task.measure(model, batch, fabric.device, draw)
                found.append((scalars, float(len(batch))))
                parts.append(part)
    reshard(model)
    model.train()
    means = over_ranks(found, ranks)
    if not means:
        return {}
    everywhere = [part for own in ranks.gather_objects(parts) for part in own]
    return {name: means[source] for name, source in task.held_out.items()} | task.over_clips(everywhere)
