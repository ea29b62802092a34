"""A run's folder: `config.json` and `checkpoints/step-N/model.safetensors`, each written completely or not at all."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cavsync.atomic import write_text_atomically
from cavsync.errors import CheckpointError
from cavsync.model.cav_mae_sync import CAVMAESync
from cavsync.model.classifier import CAVMAEFT, Head
from cavsync.model.config import ModelConfig
from cavsync.model.state import load_strict

FORMAT = 1
WEIGHTS = "model.safetensors"
AVERAGE = "average.safetensors"
STEP_PREFIX = "step-"
SCRATCH_PREFIX = ".writing-"


def save_model(
    model: CAVMAESync | CAVMAEFT,
    run_dir: str | Path,
    step: int,
    *,
    train: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
) -> Path:
    """Write the weights of one step and the run's configuration; returns the step's folder.

    train: how the run trains; source: `sha256`, `fingerprint` and `file` of the checkpoint it came from; both as plain
    JSON values, and both kept from the existing config.json where None. A step that exists is replaced.
    Raises CheckpointError where the run holds a model of another configuration.
    """
    write_run_config(
        run_dir,
        model.config,
        train=train,
        source=source,
        label_dim=model.label_dim if isinstance(model, CAVMAEFT) else None,
        head=model.head if isinstance(model, CAVMAEFT) else "linear",
    )
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    return save_state(weights, run_dir, step)


def save_state(
    weights: Mapping[str, Tensor], run_dir: str | Path, step: int, add_files: Callable[[Path], None] = lambda _: None
) -> Path:
    """Write the weights of one step; returns the step's folder, which appears once all of it is on disk.

    add_files: called with the folder before it gets its final name, to add files such as optimizer state. A step that
    exists is replaced.
    """
    folder = step_folder(run_dir, step)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=SCRATCH_PREFIX) as scratch:
        fresh, old = Path(scratch, "new"), Path(scratch, "old")
        fresh.mkdir()
        save_file(dict(weights), fresh / WEIGHTS)
        add_files(fresh)
        for path in (*fresh.iterdir(), fresh):
            _sync(path)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        _sync(folder.parent)
    return folder


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_model(run_dir: str | Path, step: int | None = None, *, averaged: bool = True) -> CAVMAESync:
    """The pretraining model of a run, on the CPU, at `step` or at its last one.

    averaged: take the moving average of the weights where the run keeps one.

    Raises CheckpointError where the run or step is missing, unreadable, or holds a classifier.
    """
    config = read_run_config(run_dir)
    if config.get("label_dim") is not None:
        raise CheckpointError(f"'{run_dir}' holds a classifier, not a pretraining model: use load_classifier.")
    with torch.device("meta"):
        model = CAVMAESync(ModelConfig.model_validate(config["model"]))
    load_state(model, run_dir, step, averaged=averaged)
    return model


def load_classifier(run_dir: str | Path, step: int | None = None, *, averaged: bool = True) -> CAVMAEFT:
    """The classifier of a run, on the CPU; arguments and CheckpointError as for `load_model`."""
    config = read_run_config(run_dir)
    if config.get("label_dim") is None:
        raise CheckpointError(f"'{run_dir}' holds a pretraining model, not a classifier: use load_model.")
    with torch.device("meta"):
        model = CAVMAEFT(
            ModelConfig.model_validate(config["model"]), int(config["label_dim"]), config.get("head", "linear")
        )
    load_state(model, run_dir, step, averaged=averaged)
    return model


def step_folder(run_dir: str | Path, step: int) -> Path:
    """Where the checkpoint of `step` lies."""
    return Path(run_dir, "checkpoints", f"{STEP_PREFIX}{step}")


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Files of a step's weights: the step's own, and their average where the run keeps one."""
    return tuple(folder / name for name in (WEIGHTS, AVERAGE) if (folder / name).is_file())


def all_steps(run_dir: str | Path) -> list[int]:
    """The steps that have weights, ascending."""
    found = Path(run_dir, "checkpoints").glob(f"{STEP_PREFIX}*/{WEIGHTS}")
    names = (path.parent.name.removeprefix(STEP_PREFIX) for path in found)
    return sorted(int(name) for name in names if name.isdecimal())


def latest_step(run_dir: str | Path) -> int | None:
    """The highest step that has weights, or None."""
    return max(all_steps(run_dir), default=None)


def read_run_config(run_dir: str | Path) -> dict[str, Any]:
    """Content of a run's config.json: `format`, `model`, `train`, `source`, and `label_dim`, `head` for classifiers.

    Raises CheckpointError where it is missing, damaged, or of another format.
    """
    path = Path(run_dir, "config.json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"'{run_dir}' is not a run: it has no readable config.json, check the path.") from error
    except ValueError as error:
        raise CheckpointError(f"'{path}' is not valid JSON: restore it, or train or convert again.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("model"), dict):
        raise CheckpointError(f"'{path}' is not of format {FORMAT}: read it with the cavsync version that wrote it.")
    return content


def load_state(
    model: CAVMAESync | CAVMAEFT, run_dir: str | Path, step: int | None = None, *, averaged: bool = False
) -> None:
    """Put the weights of a step, or of the last one, into a model of the run's configuration.

    averaged: take the moving average of the weights where the run keeps one. CheckpointError as for `load_model`.
    """
    number = latest_step(run_dir) if step is None else step
    if number is None:
        raise CheckpointError(f"'{run_dir}' has no checkpoint yet: train it first, or name another run.")
    path = step_folder(run_dir, number) / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"'{run_dir}' has no step {number}: its latest is {latest_step(run_dir)}.")
    try:
        state = load_file(path)
        if averaged and path.with_name(AVERAGE).is_file():
            state |= load_file(path.with_name(AVERAGE))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"'{path}' is damaged or unreadable: use another step of the run.") from error
    load_strict(model, state, f"'{path}'", "Its config.json belongs to another model: restore the file.")


def write_run_config(
    run_dir: str | Path,
    model: ModelConfig,
    *,
    train: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
    label_dim: int | None = None,
    head: Head = "linear",
) -> None:
    """Write a run's config.json; `train` and `source` as for `save_model`.

    Raises CheckpointError where the folder holds a run of another model.
    """
    path = Path(run_dir, "config.json")
    kept = read_run_config(run_dir) if path.exists() else {}
    content = {
        "format": FORMAT,
        "model": model.model_dump(mode="json"),
        **({} if label_dim is None else {"label_dim": label_dim, "head": head}),
        "train": kept.get("train") if train is None else dict(train),
        "source": kept.get("source") if source is None else dict(source),
    }
    if kept and any(kept.get(key) != content.get(key) for key in ("model", "label_dim", "head")):
        raise CheckpointError(f"'{run_dir}' holds a model of another configuration: write to an empty folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, json.dumps(content, indent=2) + "\n")
