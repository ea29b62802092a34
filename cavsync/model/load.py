"""Load the model at a path: a run, one of its steps, or a checkpoint of the authors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cavsync.errors import CheckpointError, ConfigError
from cavsync.model.cav_mae_sync import CAVMAESync
from cavsync.model.checkpoint import (
    STEP_PREFIX,
    latest_step,
    load_classifier,
    load_model,
    read_run_config,
    step_folder,
    weight_files,
)
from cavsync.model.classifier import CAVMAEFT
from cavsync.model.state import load_strict, read_state
from cavsync.model.upstream import UpstreamInfo, open_upstream


@dataclass(frozen=True)
class RunStep:
    """A checkpoint of a run, and the files of its weights: the step's, and their average where the run keeps one."""

    run: Path
    step: int
    files: tuple[Path, ...]


def open_any(path: str | Path, /, **overrides: Any) -> tuple[RunStep | UpstreamInfo, CAVMAESync | CAVMAEFT]:
    """The pretraining model or classifier of a RUN (its last step), RUN/checkpoints/step-N or a `.pth`, on the CPU.

    A run's moving average of the weights is taken where it keeps one. overrides: model options for a `.pth`.
    Raises CheckpointError where it is missing, damaged, or none of these, ConfigError for overrides of a run.
    """
    found = run_and_step(path)
    if found is None:
        return open_upstream(path, **overrides)
    if overrides:
        raise ConfigError(f"'{path}' is a run, whose config.json has all model options: leave them out.")
    run, step = found
    is_classifier = read_run_config(run).get("label_dim") is not None
    step = latest_step(run) if step is None else step
    model = load_classifier(run, step) if is_classifier else load_model(run, step)
    # Runs without steps are refused above.
    assert step is not None
    return RunStep(run, step, weight_files(step_folder(run, step))), model


def load_any(path: str | Path, /, **overrides: Any) -> CAVMAESync | CAVMAEFT:
    """The model of `open_any` alone."""
    return open_any(path, **overrides)[1]


def run_and_step(path: str | Path) -> tuple[Path, int | None] | None:
    """The run and step that a path names, (RUN, None) for its last one; None for a file.

    Raises CheckpointError for RUN/checkpoints/step-X where X is no number.
    """
    path = Path(path)
    if path.parent.name == "checkpoints" and path.name.startswith(STEP_PREFIX):
        number = path.name.removeprefix(STEP_PREFIX)
        if not number.isdecimal():
            raise CheckpointError(f"'{path}' is no step of a run: give the run, or its checkpoints/step-N.")
        return path.parent.parent, int(number)
    return (path, None) if path.is_dir() else None


def initialise_from(model: CAVMAESync, path: str | Path) -> None:
    """Copy the weights of a run, one of its steps, or a checkpoint of the authors, into a model of the same sizes.

    Raises CheckpointError where it is missing, damaged, or of another size.
    """
    found = run_and_step(path)
    state = read_state(Path(path)) if found is None else load_model(*found).state_dict()
    load_strict(
        model, state, f"'{path}'", "A run starts from weights of its own model: change the options or the file."
    )
