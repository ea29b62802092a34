"""One optimiser step over all processes and all parts of its batch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.distributed.tensor import DTensor

from cavsync.atomic import write_text_atomically
from cavsync.data.batches import PairBatch
from cavsync.errors import DataError
from cavsync.train.config import TrainConfig
from cavsync.train.ranks import Ranks
from cavsync.train.tasks.task import Task

Counts = list[list[float]]
NUM_NAMED = 4


def optimise(
    fabric: Fabric,
    model: Any,
    optimizer: Any,
    parts: Sequence[PairBatch],
    counts: Counts,
    config: TrainConfig,
    task: Task,
    ranks: Ranks,
    *,
    step: int,
    progress: float,
    run_dir: Path,
) -> list[tuple[dict[str, float], float]]:
    """One step over `parts`, of which process r holds `counts[r][part]` pairs.

    Every pair weighs the same, however unequal rejected clips have left the parts. Returns each used part's scalars in
    this process with its weight. Parts that a process has no pair for are left out everywhere; without any, nothing
    happens.

    Raises:
        DataError: a loss or gradient that is not finite, in any process, before any weight has changed; the names of
            the batch are in the run's folder then.
    """
    used = [part for part in range(len(parts)) if min(count[part] for count in counts) > 0]
    total = sum(count[part] for count in counts for part in used)
    found = []
    for part in used:
        weight = counts[ranks.rank][part] / total
        generator = torch.Generator().manual_seed(_mask_seed(config, step, part))
        place = (int(sum(count[part] for count in counts[: ranks.rank])), int(sum(count[part] for count in counts)))
        with fabric.no_backward_sync(model, enabled=part != used[-1]):
            loss, scalars = task.loss(model, parts[part], fabric.device, generator, place, progress)
            _require_finite("loss", loss, parts[part : part + 1], ranks, step, run_dir)
            # Gradients are averaged over the processes, so that the sum of their weighted losses is the whole's.
            fabric.backward(loss * (weight * ranks.size))
        found.append((scalars, weight))
    if not used:
        return []
    limit = config.clip_gradient_norm or math.inf
    norm = fabric.clip_gradients(model, optimizer, max_norm=limit, error_if_nonfinite=False)
    assert norm is not None
    norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
    _require_finite("gradient", norm, parts, ranks, step, run_dir)
    optimizer.step()
    optimizer.zero_grad()
    return found


def over_ranks(found: Sequence[tuple[dict[str, float], float]], ranks: Ranks) -> dict[str, float]:
    """Scalars of the whole batch: the weighted means over parts and processes."""
    if not found:
        return {}
    names = list(found[0][0])
    mine = [sum(values[name] * weight for values, weight in found) for name in names]
    weights = sum(weight for _, weight in found)
    everywhere = ranks.gather([*mine, weights])
    total = sum(row[-1] for row in everywhere)
    return {name: sum(row[place] for row in everywhere) / total for place, name in enumerate(names)}


def _mask_seed(config: TrainConfig, step: int, part: int) -> int:
    """Seed of the masks: another one for every step and part; all processes draw for the whole batch."""
    return (config.seed * 1_000_003 + step) * config.gradient_accumulation + part


def _require_finite(
    what: str, value: Tensor, parts: Sequence[PairBatch], ranks: Ranks, step: int, run_dir: Path
) -> None:
    if not ranks.any(not bool(torch.isfinite(value))):
        return
    names = list(_flatten(ranks.gather_objects(list(_flatten([part.names for part in parts])))))
    path = run_dir / f"non_finite_step_{step}.json"
    if ranks.is_main:
        write_text_atomically(path, json.dumps({"step": step, "clips": names}, indent=1) + "\n")
    some = ", ".join(names[:NUM_NAMED]) + (" ..." if len(names) > NUM_NAMED else "")
    raise DataError(
        f"The {what} of step {step} is not finite, its batch held {some} ({path.name} lists all): lower "
        "learning_rate, or look at these clips and train without those that are at fault"
    )


def _flatten(lists: Sequence[Sequence[str]]) -> Iterator[str]:
    for names in lists:
        yield from names
