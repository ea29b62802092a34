"""Checkpoints of a run with everything that resuming needs, and the lock on its folder."""

from __future__ import annotations

import fcntl
import json
import pickle
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TextIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cavsync.atomic import is_leftover, remove_leftovers, require_new_folder
from cavsync.data.sources.classes import ClassLabels
from cavsync.errors import CheckpointError
from cavsync.model.checkpoint import load_state, save_files, write_run_config
from cavsync.model.face_config import FaceConfig
from cavsync.run import CheckpointFiles, Run, RunConfig, RunFolder
from cavsync.train.config import TrainConfig
from cavsync.train.ema import WeightAverage
from cavsync.train.optimizer import load_optimizer_state, optimizer_state, whole_tensor
from cavsync.train.ranks import Ranks
from cavsync.train.recipes import AnyModelConfig
from cavsync.train.tasks.task import Model
from cavsync.train.teacher import Teacher

UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, RuntimeError),
    *(pickle.UnpicklingError, SafetensorError),
)
# A resumed run may be longer, and may compute elsewhere or at another speed.
FREE_OPTIONS = frozenset(
    (
        *("max_steps", "max_minutes", "epochs", "workers", "log_every_steps", "checkpoint_every_steps"),
        *("validate_every_steps", "validate_every_epochs", "early_stop_patience"),
        *("keep_checkpoints", "keep_every_steps", "accelerator", "devices", "nodes", "strategy", "compile"),
        "cuda_graphs",
        *("activation_checkpointing", "max_rejected_share", "log_mel", "init_from", "vision_mae", "face_cache"),
    )
)


@dataclass(frozen=True)
class RunState:
    """Progress of a run: steps done, and the seconds that they took over all its sessions.

    `validated_step`: the last step whose held-out measurement counted; `best_step`, `best_value`: the best one (None
    before the first); `not_better`: how many since then were no better.
    """

    step: int = 0
    elapsed_seconds: float = 0.0
    validated_step: int = 0
    best_step: int = 0
    best_value: float | None = None
    not_better: int = 0


@dataclass
class Training:
    """Contents of a checkpoint in addition to the progress: model, optimizer, and average and teacher if any."""

    model: Model
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None = None
    teacher: Teacher | None = None

    def follow(self, step: int, progress: float) -> None:
        """Take the weights after step `step` (from 1) into average and teacher; progress as for the schedules."""
        if self.average is not None:
            self.average.update(step)
        if self.teacher is not None:
            self.teacher.follow(self.model, progress)


def save(training: Training, folder: RunFolder, state: RunState, config: TrainConfig, ranks: Ranks) -> None:
    """Write one checkpoint, whole or not at all, and delete old ones. Called by all processes."""
    moments = optimizer_state(training.model, training.optimizer)
    teacher = None if training.teacher is None else training.teacher.state()

    def add_files(files: CheckpointFiles) -> None:
        torch.save(moments, files.optimizer)
        if teacher is not None:
            save_file(teacher, files.teacher)

    _write(training, folder.checkpoint(state.step), state, ranks, add_files)
    if ranks.is_main:
        _delete_old(folder, config)


def save_best(training: Training, folder: RunFolder, state: RunState, ranks: Ranks) -> None:
    """Write the weights to checkpoints/best, whole or not at all. Called by all processes."""
    _write(training, folder.best, state, ranks, lambda _: None)


def _write(
    training: Training,
    target: CheckpointFiles,
    state: RunState,
    ranks: Ranks,
    add_others: Callable[[CheckpointFiles], None],
) -> None:
    weights = {name: whole_tensor(value).contiguous() for name, value in training.model.state_dict().items()}
    average = None if training.average is None else training.average.state()

    def add_files(files: CheckpointFiles) -> None:
        add_others(files)
        if average is not None:
            save_file(average, files.average)
        files.state.write_text(json.dumps(asdict(state)) + "\n", encoding="utf-8")

    if ranks.is_main:
        save_files(weights, target.path, add_files)
    # Make every process wait until the files exist.
    ranks.any(False)


def begin(folder: RunFolder, model: AnyModelConfig, train: TrainConfig, *, resume: bool) -> int | None:
    """Check that a folder is free for a new run, or holds a run of the same configuration to resume.

    Returns the step to resume from, None for a new run or one without a checkpoint. Raises ConfigError for a folder
    that holds anything else, CheckpointError for a run of another configuration.
    """
    if resume and folder.config_file.exists():
        _require_same(folder, model, train)
        return folder.latest_step()
    if folder.path.is_dir() and all(is_leftover(path.name) or path == folder.faces for path in folder.path.iterdir()):
        # A run that was stopped before it had a configuration; face tracks that it found are used again.
        remove_leftovers(folder.path)
        return None
    require_new_folder(folder.path, "pass --resume to continue the run in it, or choose another --out")
    return None


def claim(folder: RunFolder, model: AnyModelConfig, train: TrainConfig, classes: ClassLabels | None = None) -> TextIO:
    """Write the run's configuration if it is new, and lock its folder; `classes` are a classifier's.

    Returns the lock, held until it is closed or the process ends. CheckpointError where another session holds it.
    """
    if not folder.config_file.exists():
        write_run_config(
            folder.path,
            model,
            train=train.model_dump(mode="json"),
            label_dim=None if classes is None else len(classes),
            head="linear" if train.classify is None else train.classify.model_head,
        )
    lock = folder.lock_file.open("w", encoding="utf-8")
    try:
        # Unlike flock, this kind of lock is not shared with workers, which outlive a killed parent by seconds.
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise CheckpointError(f"'{folder.path}' is being trained by another session: wait for it or stop it.") from None
    remove_leftovers(folder.path)
    remove_leftovers(folder.checkpoints)
    return lock


def restore(training: Training, folder: RunFolder, step: int) -> RunState:
    """Load optimizer, average and teacher of the checkpoint of `step`, in each process; return its progress.

    Raises:
        CheckpointError: a damaged or incomplete checkpoint.
    """
    files = folder.checkpoint(step)
    try:
        state = RunState(**json.loads(files.state.read_text(encoding="utf-8")))
        moments: Mapping[str, Mapping[str, Tensor]] = torch.load(files.optimizer, weights_only=True, map_location="cpu")
        load_optimizer_state(training.model, training.optimizer, moments)
        if training.average is not None:
            training.average.load(load_file(files.average))
        if training.teacher is not None:
            training.teacher.load(load_file(files.teacher))
    except (*UNREADABLE, CheckpointError) as error:
        raise CheckpointError(
            f"'{files.path}' cannot be resumed from ({error}): delete it to use the one before."
        ) from None
    return state


def initial_weights(model: Model, folder: RunFolder, step: int) -> None:
    """Load the weights of `step`, before the model is distributed. CheckpointError where they are damaged."""
    load_state(model, Run.open(folder.path).at(step))


def _with_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with the defaults that they lack, in records inside them too."""
    filled = {**defaults, **values}
    for name, default in defaults.items():
        if isinstance(default, Mapping) and isinstance(filled[name], Mapping):
            filled[name] = _with_defaults(filled[name], default)
    return filled


def _require_same(folder: RunFolder, model: AnyModelConfig, train: TrainConfig) -> None:
    stored = RunConfig.read(folder.config_file)
    # Options that are newer than the run have their defaults in it.
    defaults = TrainConfig().model_dump(mode="json")
    old, wanted = _with_defaults(stored.train or {}, defaults), train.model_dump(mode="json")
    changed = [key for key, value in wanted.items() if key not in FREE_OPTIONS and old.get(key) != value]
    is_face = isinstance(model, FaceConfig)
    if stored.model != model.model_dump(mode="json") or (stored.kind == "face") != is_face or changed:
        what = f"option '{changed[0]}'" if changed else "the model"
        raise CheckpointError(
            f"'{folder.path}' was trained with another configuration ({what} differs): resume it with its own preset "
            "and options, or choose another --out."
        )


def _delete_old(folder: RunFolder, config: TrainConfig) -> None:
    for step in folder.steps()[: -config.keep_checkpoints]:
        if not config.keep_every_steps or step % config.keep_every_steps:
            shutil.rmtree(folder.checkpoint(step).path)
