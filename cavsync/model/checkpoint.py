"""A run's folder: `config.json` and `checkpoints/step-N/model.safetensors`, written so that none is ever half there."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cavsync.errors import CheckpointError
from cavsync.model.cav_mae_sync import CAVMAESync
from cavsync.model.classifier import CAVMAEFT
from cavsync.model.config import ModelConfig
from cavsync.model.state import load_strict

FORMAT = 1
WEIGHTS = "model.safetensors"
STEP_PREFIX = "step-"

Model = TypeVar("Model", CAVMAESync, CAVMAEFT)


def save_model(
    model: CAVMAESync | CAVMAEFT,
    run_dir: str | Path,
    step: int,
    *,
    train: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
    write_beside: Callable[[Path], None] | None = None,
) -> Path:
    """Write the weights of one step and the run's configuration; returns the step's folder.

    train: how the run trains; source: `sha256`, `fingerprint` and `file` of the checkpoint it came from; both as plain
    JSON values, and both kept from the existing config.json where None. write_beside: called with the folder before it
    appears under its name, to add files such as optimizer state. A step that exists is replaced.
    Raises CheckpointError where the run holds a model of another configuration.
    """
    run_dir = Path(run_dir)
    folder = step_folder(run_dir, step)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _write_config(model, run_dir, train, source)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".writing-") as scratch:
        fresh, old = Path(scratch, "new"), Path(scratch, "old")
        fresh.mkdir()
        tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
        save_file(tensors, fresh / WEIGHTS)
        if write_beside is not None:
            write_beside(fresh)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    return folder


def load_model(run_dir: str | Path, step: int | Literal["latest"] | None = None) -> CAVMAESync:
    """The pretraining model of a run, on the CPU, at `step` or at its last one.

    Raises CheckpointError where the run or step is missing, unreadable, or holds a classifier.
    """
    config = read_run_config(run_dir)
    if config.get("label_dim") is not None:
        raise CheckpointError(f"'{run_dir}' holds a classifier, not a pretraining model: use load_classifier.")
    with torch.device("meta"):
        model = CAVMAESync(ModelConfig.model_validate(config["model"]))
    return _with_weights(model, run_dir, step)


def load_classifier(run_dir: str | Path, step: int | Literal["latest"] | None = None) -> CAVMAEFT:
    """The classifier of a run, on the CPU; CheckpointError as for `load_model`."""
    config = read_run_config(run_dir)
    if config.get("label_dim") is None:
        raise CheckpointError(f"'{run_dir}' holds a pretraining model, not a classifier: use load_model.")
    with torch.device("meta"):
        model = CAVMAEFT(ModelConfig.model_validate(config["model"]), int(config["label_dim"]))
    return _with_weights(model, run_dir, step)


def step_folder(run_dir: str | Path, step: int) -> Path:
    """Where the checkpoint of `step` lies."""
    return Path(run_dir, "checkpoints", f"{STEP_PREFIX}{step}")


def latest_step(run_dir: str | Path) -> int | None:
    """The highest step that has weights, None without any."""
    found = Path(run_dir, "checkpoints").glob(f"{STEP_PREFIX}*/{WEIGHTS}")
    names = (path.parent.name.removeprefix(STEP_PREFIX) for path in found)
    return max((int(name) for name in names if name.isdecimal()), default=None)


def read_run_config(run_dir: str | Path) -> dict[str, Any]:
    """Content of a run's config.json: `format`, `model`, `train`, `source`, and `label_dim` for classifiers.

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


def _with_weights(model: Model, run_dir: str | Path, step: int | Literal["latest"] | None) -> Model:
    number = latest_step(run_dir) if step is None or step == "latest" else step
    if number is None:
        raise CheckpointError(f"'{run_dir}' has no checkpoint yet: train it first, or name another run.")
    path = step_folder(run_dir, number) / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"'{run_dir}' has no step {number}: its latest is {latest_step(run_dir)}.")
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"'{path}' is damaged or unreadable: use another step of the run.") from error
    load_strict(model, state, f"'{path}'", "Its config.json belongs to another model: restore the file.")
    return model


def _write_config(
    model: CAVMAESync | CAVMAEFT, run_dir: Path, train: Mapping[str, Any] | None, source: Mapping[str, Any] | None
) -> None:
    path = run_dir / "config.json"
    kept = read_run_config(run_dir) if path.exists() else {}
    label_dim = {"label_dim": model.label_dim} if isinstance(model, CAVMAEFT) else {}
    content = {
        "format": FORMAT,
        "model": model.config.model_dump(mode="json"),
        **label_dim,
        "train": kept.get("train") if train is None else dict(train),
        "source": kept.get("source") if source is None else dict(source),
    }
    if kept and (kept["model"], kept.get("label_dim")) != (content["model"], content.get("label_dim")):
        raise CheckpointError(f"'{run_dir}' holds a model of another configuration: write to an empty folder.")
    scratch = path.with_name(f".config-{os.getpid()}.json")
    scratch.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    scratch.replace(path)
