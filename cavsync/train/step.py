"""One optimiser step over all processes and all parts of its batch."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.distributed.tensor import DTensor

from cavsync.atomic import write_text_atomically
from cavsync.errors import DataError
from cavsync.run import RunFolder
from cavsync.train.config import TrainConfig
from cavsync.train.data import Batch
from cavsync.train.ranks import Ranks
from cavsync.train.tasks.task import Draw, Task

NUM_NAMED = 4

Scalars = list[tuple[dict[str, float], float]]
"""Scalars of each part of a batch in this process, and the part's weight."""


@dataclass(frozen=True)
class StepBatch:
    """The batch of one step. `parts` are this process's share; process r holds `counts[r][p]` pairs of part p.

    step counts from 0; progress in [0, 1] is the share of the run that is over.
    """

    step: int
    progress: float
    parts: Sequence[Batch]
    counts: list[list[float]]

    def used_parts(self) -> list[int]:
        """Return the parts of which every process holds a pair: contrast and gradients gather from all processes."""
        return [part for part in range(len(self.parts)) if min(count[part] for count in self.counts) > 0]

    def num_pairs(self, part: int) -> int:
        """Pairs of a part over all processes."""
        return int(sum(count[part] for count in self.counts))

    def place(self, part: int, rank: int) -> tuple[int, int]:
        """Number of pairs of a part in the processes before `rank`, and in all."""
        return int(sum(count[part] for count in self.counts[:rank])), self.num_pairs(part)


@dataclass(frozen=True)
class TrainingStep:
    """The state that all steps of a run share; model and optimizer as Fabric has wrapped them."""

    fabric: Fabric
    ranks: Ranks
    task: Task
    config: TrainConfig
    folder: RunFolder
    model: Any
    optimizer: Any

    def take(self, batch: StepBatch) -> Scalars:
        """Update the weights once; return the scalars of each used part.

        Every pair weighs the same, even if rejected clips leave parts of unequal size. A part of which some process has
        no pair is left out everywhere; if all are, nothing happens.

        Raises:
            DataError: a loss or gradient is not finite in some process. No weight has changed then, and a file in the
                run's folder names the clips of the batch.
        """
        used = batch.used_parts()
        total = sum(batch.num_pairs(part) for part in used)
        found: Scalars = []
        for part in used:
            weight = batch.counts[self.ranks.rank][part] / total
            with self.fabric.no_backward_sync(self.model, enabled=part != used[-1]):
                loss, scalars = self.task.loss(
                    self.model, batch.parts[part], self.fabric.device, self.draw(batch, part)
                )
                self.require_finite("loss", bool(torch.isfinite(loss)), batch.step, [batch.parts[part]])
                # Gradients are averaged over the processes; this makes them those of the mean over all pairs.
                self.fabric.backward(loss * (weight * self.ranks.size))
            found.append((scalars, weight))
        if not used:
            return []
        limit = self.config.clip_gradient_norm or math.inf
        norm = self.fabric.clip_gradients(self.model, self.optimizer, max_norm=limit, error_if_nonfinite=False)
        assert norm is not None
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        self.require_finite("gradient", bool(torch.isfinite(norm)), batch.step, batch.parts)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return found

    def draw(self, batch: StepBatch, part: int) -> Draw:
        """Return what a part's masks are drawn with, on the model's device: all processes draw for the whole batch."""
        seed = (self.config.seed * 1_000_003 + batch.step) * self.config.gradient_accumulation + part
        generator = torch.Generator(self.fabric.device).manual_seed(seed)
        return Draw(generator, batch.place(part, self.ranks.rank), batch.progress)

    def require_finite(self, what: str, is_finite: bool, step: int, parts: Sequence[Batch]) -> None:
        """Raise the DataError of `take` where a number is not finite in some process. Called by all processes."""
        if not self.ranks.any(not is_finite):
            return
        mine = [name for part in parts for name in part.names]
        names = list(chain.from_iterable(self.ranks.gather_objects(mine)))
        path = self.folder.non_finite_file(step)
        if self.ranks.is_main:
            write_text_atomically(path, json.dumps({"step": step, "clips": names}, indent=1) + "\n")
        some = ", ".join(names[:NUM_NAMED]) + (" ..." if len(names) > NUM_NAMED else "")
        raise DataError(
            f"The {what} of step {step} is not finite, its batch held {some} ({path.name} lists all): lower "
            "learning_rate, or look at these clips and train without those that are at fault"
        )


def over_ranks(found: Scalars, ranks: Ranks) -> dict[str, float]:
    """Return the scalars of the whole batch: weighted means over parts and processes. Called by all processes."""
    if not found:
        return {}
    names = list(found[0][0])
    mine = [sum(values[name] * weight for values, weight in found) for name in names]
    weights = sum(weight for _, weight in found)
    everywhere = ranks.gather([*mine, weights])
    total = sum(row[-1] for row in everywhere)
    return {name: sum(row[place] for row in everywhere) / total for place, name in enumerate(names)}
