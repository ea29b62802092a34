"""The trials of a clip: chosen for all clips, drawn from the seed and the clip's name, or fixed by a manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cavsync.evaluate.sync.cases import SyncCase
from cavsync.evaluate.sync.offset_classes import NUM_CLASSES
from cavsync.evaluate.sync.trial_list import TrialListLine, relative_path, write_trial_list


@dataclass(frozen=True)
class SyncPlan:
    """Offsets to put into files, classes to inject, and the part of a hop (-0.5..0.5) by which the true lag of the
    classes lies off the grid."""

    offsets_ms: tuple[float, ...]
    classes: tuple[int, ...]
    grid_shift: float


def plan_of(case: SyncCase, *, offsets_ms: tuple[float, ...], classes_per_clip: int, seed: int) -> SyncPlan:
    """Return the trials of a clip: the offsets, and classes that depend on the seed and the clip's name alone."""
    name = hashlib.sha256((case.name or case.path.name).encode()).digest()
    random = np.random.default_rng((seed, int.from_bytes(name, "big")))
    grid_shift = float(random.uniform(-0.5, 0.5))
    classes = tuple(random.permutation(NUM_CLASSES)[:classes_per_clip].tolist())
    fixed = case.trials
    if fixed is None:
        return SyncPlan(offsets_ms, classes, grid_shift)
    return SyncPlan(
        offsets_ms if fixed.injected_offsets_ms is None else fixed.injected_offsets_ms,
        classes if fixed.classes is None else fixed.classes,
        grid_shift if fixed.grid_shift is None else fixed.grid_shift,
    )


def write_plans(path: Path, cases: Sequence[SyncCase], plans: Sequence[SyncPlan]) -> None:
    """Write a manifest that fixes the same trials. Raises ConfigError if it cannot be written."""
    lines = [
        TrialListLine(
            path=relative_path(case.path, path),
            kind=case.kind,
            source=case.source,
            group=case.group,
            audio_offset_ms=case.true_offset_ms,
            generated=case.generated,
            injected_offsets_ms=plan.offsets_ms,
            classes=plan.classes,
            grid_shift=plan.grid_shift,
        )
        for case, plan in zip(cases, plans, strict=True)
    ]
    write_trial_list(path, lines)
