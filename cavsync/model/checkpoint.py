"""Write the configuration and weights of a run, and load its model (`cavsync.run` knows the folder)."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cavsync.atomic import atomic_folder, write_text_atomically
from cavsync.errors import CheckpointError, ConfigError
from cavsync.model.cav_mae_sync import CAVMAESync
from cavsync.model.classifier import CAVMAEFT, Head
from cavsync.model.config import ModelConfig, ModelOptions
from cavsync.model.face_config import FaceConfig
from cavsync.model.face_sync import FaceSync
from cavsync.model.state import load_strict
from cavsync.run import CheckpointFiles, Run, RunConfig, RunFolder

C = TypeVar("C", bound=ModelOptions)


def save_model(
    model: CAVMAESync | CAVMAEFT,
    run_dir: str | Path,
    step: int,
    *,
    train: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
) -> Path:
    """Write the run's configuration and the weights of one step; return the step's folder.

    train: how the run trains; source: `sha256`, `fingerprint` and `file` of the checkpoint it came from; both as plain
    JSON values, and both kept from the existing config.json where None. An existing step is replaced.
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
    weights: Mapping[str, Tensor],
    run_dir: str | Path,
    step: int,
    add_files: Callable[[CheckpointFiles], None] = lambda _: None,
) -> Path:
    """Write the weights of one step, whole or not at all; return the step's folder.

    add_files: called before the folder gets its name, to write other files such as the optimizer's state. An existing
    step is replaced.
    """
    return save_files(weights, RunFolder(Path(run_dir)).checkpoint(step).path, add_files)


def save_files(weights: Mapping[str, Tensor], folder: Path, add_files: Callable[[CheckpointFiles], None]) -> Path:
    """Write a checkpoint's folder, whole or not at all, in place of an existing one; return it. See `save_state`."""
    with atomic_folder(folder) as fresh:
        files = CheckpointFiles(fresh)
        save_file(dict(weights), files.weights)
        add_files(files)
    return folder


def load_model(path: str | Path, step: int | None = None, *, averaged: bool = True) -> CAVMAESync:
    """Load the pretraining model of RUN or RUN/checkpoints/step-N on the CPU, at `step` or the latest one.

    averaged: use the average of the weights where the run keeps one.

    Raises CheckpointError where the run or step is missing, unreadable, or holds a classifier.
    """
    run = Run.open(path).at(step)
    if run.is_classifier:
        raise CheckpointError(f"'{path}' holds a classifier, not a pretraining model: use load_any.")
    model = model_of(run, averaged=averaged)
    assert isinstance(model, CAVMAESync)
    return model


def model_of(run: Run, *, averaged: bool = True) -> CAVMAESync | CAVMAEFT:
    """Load the model of a run, pretraining or classifier, on the CPU. Arguments, errors: see `load_model`.

    CheckpointError also for a face model.
    """
    if run.is_face:
        raise CheckpointError(
            f"'{run.folder.path}' holds a face model, which this does not take: give a run of another preset."
        )
    config = _config_of(run, ModelConfig)
    with torch.device("meta"):
        if run.config.label_dim is None:
            model: CAVMAESync | CAVMAEFT = CAVMAESync(config)
        else:
            model = CAVMAEFT(config, run.config.label_dim, run.config.head)
    load_state(model, run, averaged=averaged)
    return model


def load_face(path: str | Path, step: int | None = None, *, averaged: bool = True) -> FaceSync:
    """Load the face model of a run on the CPU. Arguments and errors as for `load_model`."""
    run = Run.open(path).at(step)
    if not run.is_face:
        raise CheckpointError(f"'{path}' holds no face model: give a run of the preset sync-face.")
    config = _config_of(run, FaceConfig)
    with torch.device("meta"):
        model = FaceSync(config)
    load_state(model, run, averaged=averaged)
    return model


def _config_of(run: Run, kind: type[C]) -> C:
    """Return the configuration of a run's model. CheckpointError where its config.json does not hold a possible one."""
    try:
        return kind.model_validate(run.config.model)
    except ConfigError as error:
        raise CheckpointError(
            f"'{run.folder.config_file}' describes no model ({str(error).rstrip('.')}): restore the file, or train or "
            "convert again."
        ) from None


def load_state(model: CAVMAESync | CAVMAEFT | FaceSync, run: Run, *, averaged: bool = False) -> None:
    """Put the weights of a run's step into a model of the run's configuration.

    averaged: use the average of the weights where the run keeps one. CheckpointError as for `load_model`.
    """
    files = run.checkpoint
    try:
        state = load_file(files.weights)
        if averaged and files.average.is_file():
            state |= load_file(files.average)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"'{files.weights}' is damaged or unreadable: use another step of the run.") from error
    load_strict(model, state, f"'{files.weights}'", "Its config.json belongs to another model: restore the file.")


def write_run_config(
    run_dir: str | Path,
    model: ModelConfig | FaceConfig,
    *,
    train: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
    label_dim: int | None = None,
    head: Head = "linear",
) -> None:
    """Write a run's config.json; `train` and `source` as for `save_model`.

    Raises CheckpointError where the folder holds a run of another model.
    """
    folder = RunFolder(Path(run_dir))
    config = RunConfig(
        model=model.model_dump(mode="json"),
        kind="face" if isinstance(model, FaceConfig) else None,
        label_dim=label_dim,
        head=head,
        train=None if train is None else dict(train),
        source=None if source is None else dict(source),
    )
    if folder.config_file.exists():
        old = RunConfig.read(folder.config_file)
        if any(getattr(old, name) != getattr(config, name) for name in ("model", "kind", "label_dim", "head")):
            raise CheckpointError(f"'{run_dir}' holds a model of another configuration: write to an empty folder.")
        kept = {name: getattr(old, name) for name in ("train", "source") if getattr(config, name) is None}
        config = config.model_copy(update=kept)
    folder.path.mkdir(parents=True, exist_ok=True)
    write_text_atomically(folder.config_file, config.to_text())
