"""Clips that a run never trains on: they measure it, and calibrate what is exported from it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

HELD_OUT_NAME = "held_out.json"


def split(num_clips: int, held_out_share: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices to train on, and indices held out: at least one where the share is above 0 and there are two clips."""
    count = round(num_clips * held_out_share)
    if held_out_share > 0 and num_clips > 1:
        count = max(1, count)
    order = np.random.default_rng((seed, 0xE1D)).permutation(num_clips)
    return sorted(int(i) for i in order[count:]), sorted(int(i) for i in order[:count])


def write_held_out(run_dir: Path, names: list[str]) -> None:
    """Note the paths of the held-out clips in the run, for export's calibration."""
    run_dir.mkdir(parents=True, exist_ok=True)
    paths = [str(Path(name).resolve()) for name in names]
    (run_dir / HELD_OUT_NAME).write_text(json.dumps({"clips": paths}, indent=1) + "\n", encoding="utf-8")
