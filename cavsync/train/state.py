"""A run's checkpoints with all that resuming needs, and the guard against writing over another run."""

from __future__ import annotations

import fcntl
import json
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cavsync.data.sources.classes import ClassLabels
from cavsync.errors import CheckpointError
from cavsync.model.checkpoint import (
    AVERAGE,
    SCRATCH_PREFIX,
    all_steps,
    latest_step,
    load_state,
    read_run_config,
    save_state,
    step_folder,
    write_run_config,
)
from cavsync.model.config import ModelConfig
from cavsync.train.config import TrainConfig
from cavsync.train.ema import WeightAverage
from cavsync.train.optimizer import load_optimizer_state, optimizer_state, whole_tensor
from cavsync.train.ranks import Ranks
from cavsync.train.tasks.task import Model

UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, RuntimeError),
    *(pickle.UnpicklingError, SafetensorError),
)
OPTIMIZER_NAME = "optimizer.pt"
STATE_NAME = "state.json"
LOCK_NAME = ".lock"
# Where and how fast a run computes, and for how long, may change between sessions: going on is what resuming is for.
FREE_OPTIONS = frozenset(
    (
        *("max_steps", "max_minutes", "epochs", "workers", "log_every_steps", "checkpoint_every_steps"),
        *("keep_checkpoints", "keep_every_steps", "accelerator", "devices", "nodes", "strategy", "compile"),
        *("activation_checkpointing", "max_rejected_share", "log_mel", "init_from", "vision_mae"),
    )
)


@dataclass(frozen=True)
class RunState:
    """Where a run stands: steps done, and the seconds that they took in all sessions together."""

    step: int = 0
    elapsed_seconds: float = 0.0


@dataclass
class Training:
    """What a checkpoint holds beside the position: the model, its optimizer, and the average where one is kept."""

    model: Model
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None = None


def save(training: Training, run_dir: Path, state: RunState, config: TrainConfig, ranks: Ranks) -> None:
    """Write one checkpoint, whole or not at all, and drop those that need not stay. Called by all processes."""
    weights = {name: whole_tensor(value).contiguous() for name, value in training.model.state_dict().items()}
    moments = optimizer_state(training.model, training.optimizer)
    average = None if training.average is None else training.average.state()
    if ranks.is_main:

        def add_files(folder: Path) -> None:
            torch.save(moments, folder / OPTIMIZER_NAME)
            if average is not None:
                save_file(average, folder / AVERAGE)
            (folder / STATE_NAME).write_text(json.dumps(asdict(state)) + "\n", encoding="utf-8")

        save_state(weights, run_dir, state.step, add_files)
        _drop_old(run_dir, config)
    ranks.any(False)  # nobody goes on, and perhaps ends, before the files are there


def begin(run_dir: Path, model: ModelConfig, train: TrainConfig, *, resume: bool) -> int | None:
    """Check that a folder is free for a new run, or that a run of the same configuration can be gone on with.

    Returns the step to go on from, None where there is none yet. Raises CheckpointError for a folder that holds
    anything else, or a run of another configuration.
    """
    if resume and (run_dir / "config.json").exists():
        _require_same(run_dir, model, train)
        return latest_step(run_dir)
    if run_dir.is_dir():
        # What a kill in the very first moment leaves.
        for left_over in run_dir.glob(".config.json.*"):
            left_over.unlink()
    if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise CheckpointError(
            f"'{run_dir}' exists and is not an empty folder: pass --resume to go on with it, or choose another --out."
        )
    return None


def claim(run_dir: Path, model: ModelConfig, train: TrainConfig, classes: ClassLabels | None = None) -> TextIO:
    """Make the folder this run's own, before anything else is written there; `classes` are a classifier's.

    Returns its lock, held until it is closed or the process ends, however it ends. CheckpointError where another
    session holds it.
    """
    if not (run_dir / "config.json").exists():
        write_run_config(
            run_dir,
            model,
            train=train.model_dump(mode="json"),
            label_dim=None if classes is None else len(classes),
            head="linear" if train.classify is None else train.classify.head,
        )
    lock = (run_dir / LOCK_NAME).open("w", encoding="utf-8")
    try:
        # Unlike flock, this kind of lock is not shared with workers, which outlive a killed parent by seconds.
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise CheckpointError(f"'{run_dir}' is being trained by another session: wait for it or stop it.") from None
    for left_over in (run_dir / "checkpoints").glob(f"{SCRATCH_PREFIX}*"):
        shutil.rmtree(left_over)
    return lock


def restore(training: Training, run_dir: Path, step: int) -> RunState:
    """Put the checkpoint of `step` back into model, optimizer and average; each process reads it for itself.

    Raises:
        CheckpointError: a damaged or incomplete checkpoint.
    """
    folder = step_folder(run_dir, step)
    try:
        state = RunState(**json.loads((folder / STATE_NAME).read_text(encoding="utf-8")))
        moments: Mapping[str, Mapping[str, Tensor]] = torch.load(
            folder / OPTIMIZER_NAME, weights_only=True, map_location="cpu"
        )
        average = load_file(folder / AVERAGE) if training.average is not None else {}
        load_optimizer_state(training.model, training.optimizer, moments)
        if training.average is not None:
            training.average.load(average)
    except (*UNREADABLE, CheckpointError) as error:
        raise CheckpointError(
            f"'{folder}' cannot be resumed from ({error}): delete it to use the one before."
        ) from None
    return state


def initial_weights(model: Model, run_dir: Path, step: int) -> None:
    """Load the weights of `step`, before the model is distributed. CheckpointError where they are damaged."""
    load_state(model, run_dir, step)


def _require_same(run_dir: Path, model: ModelConfig, train: TrainConfig) -> None:
    config = read_run_config(run_dir)
    wanted: dict[str, Any] = train.model_dump(mode="json")
    stored = config["train"] or {}
    changed = [key for key, value in wanted.items() if key not in FREE_OPTIONS and stored.get(key) != value]
    if config["model"] != model.model_dump(mode="json") or changed:
        what = f"option '{changed[0]}'" if changed else "the model"
        raise CheckpointError(
            f"'{run_dir}' was trained with another configuration ({what} differs): resume it with its own preset and "
            "options, or choose another --out."
        )


def _drop_old(run_dir: Path, config: TrainConfig) -> None:
    for step in all_steps(run_dir)[: -config.keep_checkpoints]:
        if not config.keep_every_steps or step % config.keep_every_steps:
            shutil.rmtree(step_folder(run_dir, step))
