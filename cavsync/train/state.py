"""A run's checkpoints with all that resuming needs, and the guard against writing over another run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from cavsync.errors import CheckpointError
from cavsync.model import CAVMAESync
from cavsync.model.checkpoint import latest_step, load_model, read_run_config, save_model, step_folder
from cavsync.model.config import ModelConfig
from cavsync.train.config import TrainConfig

OPTIMIZER_NAME = "optimizer.pt"
STATE_NAME = "state.json"
KEPT_CHECKPOINTS = 3


@dataclass(frozen=True)
class RunState:
    """Where a run stands: steps done, and the seconds that they took in all sessions together."""

    step: int = 0
    elapsed_seconds: float = 0.0


def save(
    model: CAVMAESync, optimizer: torch.optim.Optimizer, run_dir: Path, state: RunState, train: TrainConfig
) -> None:
    """Write one checkpoint, whole or not at all, and drop all but the last few."""

    def write_beside(folder: Path) -> None:
        torch.save(optimizer.state_dict(), folder / OPTIMIZER_NAME)
        (folder / STATE_NAME).write_text(json.dumps(asdict(state)) + "\n", encoding="utf-8")

    save_model(model, run_dir, state.step, train=train.model_dump(mode="json"), write_beside=write_beside)
    _drop_old(run_dir)


def restore(run_dir: Path, model: ModelConfig, train: TrainConfig) -> tuple[CAVMAESync, dict[str, Any], RunState]:
    """Model, optimizer state and position of the last checkpoint of a run of the same configuration.

    Raises:
        CheckpointError: no checkpoint, another configuration, or a damaged file.
    """
    config = read_run_config(run_dir)
    # The budget may change between sessions: training on is what resuming is for.
    free = {"max_steps", "max_minutes", "epochs", "workers", "log_every_steps", "checkpoint_every_steps"}
    wanted = train.model_dump(mode="json")
    changed = [key for key, value in (config["train"] or {}).items() if key not in free and wanted.get(key) != value]
    if config["model"] != model.model_dump(mode="json") or changed:
        what = f"option '{changed[0]}'" if changed else "the model"
        raise CheckpointError(
            f"'{run_dir}' was trained with another configuration ({what} differs): resume it with its own preset and "
            "options, or choose another --out."
        )
    step = latest_step(run_dir)
    if step is None:
        raise CheckpointError(f"'{run_dir}' has no checkpoint to resume from: train it without --resume.")
    folder = step_folder(run_dir, step)
    try:
        state = RunState(**json.loads((folder / STATE_NAME).read_text(encoding="utf-8")))
        optimizer = torch.load(folder / OPTIMIZER_NAME, weights_only=True, map_location="cpu")
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"'{folder}' cannot be resumed from ({error}): delete it to use the one before."
        ) from None
    return load_model(run_dir, step), optimizer, state


def require_new(run_dir: Path) -> None:
    """Refuse a folder that holds anything: a run is never overwritten by accident."""
    if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise CheckpointError(
            f"'{run_dir}' exists and is not an empty folder: pass --resume to go on with it, or choose another --out."
        )


def _drop_old(run_dir: Path) -> None:
    folders = sorted(
        (run_dir / "checkpoints").glob("step-*"), key=lambda folder: int(folder.name.removeprefix("step-"))
    )
    for folder in folders[:-KEPT_CHECKPOINTS]:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
