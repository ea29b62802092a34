"""Load the model that a path names: a run, one of its steps, or a checkpoint of the authors."""

from pathlib import Path
from typing import Any

from cavsync.errors import ConfigError
from cavsync.model.cav_mae_sync import CAVMAESync
from cavsync.model.checkpoint import load_model, model_of
from cavsync.model.classifier import CAVMAEFT
from cavsync.model.fit_positions import fit_positions
from cavsync.model.state import load_strict, read_state
from cavsync.model.upstream import UpstreamInfo, open_upstream
from cavsync.run import Run

CHAINED = "chain_joint_blocks"


def open_any(path: str | Path, /, **overrides: Any) -> tuple[Run | UpstreamInfo, CAVMAESync | CAVMAEFT]:
    """Load the pretraining model or classifier of a RUN, RUN/checkpoints/step-N or a `.pth`, on the CPU.

    A run's average of the weights is used where it keeps one. overrides: model options for a `.pth`; of a run only
    chain_joint_blocks, which changes no weight: the public code of CAV-MAE trains several joint blocks unchained, and
    chains them for the features of retrieval.
    Raises CheckpointError where it is missing, damaged, or none of these, ConfigError for other overrides of a run.
    """
    run = Run.find(path)
    if run is None:
        return open_upstream(path, **overrides)
    if overrides.keys() - {CHAINED}:
        raise ConfigError(
            f"'{path}' is a run, whose config.json has all model options: leave them out, except {CHAINED}."
        )
    model = model_of(run)
    if overrides:
        model.config = type(model.config).model_validate({**model.config.model_dump(), **overrides})
    return run, model


def load_any(path: str | Path, /, **overrides: Any) -> CAVMAESync | CAVMAEFT:
    """Return the model of `open_any` alone."""
    return open_any(path, **overrides)[1]


def initialise_from(model: CAVMAESync, path: str | Path) -> dict[str, str]:
    """Copy the weights of a run, one of its steps, or a checkpoint of the authors, into a model of the same sizes.

    Position tables are made to fit another audio length or frame size; returns the changes of `fit_positions`.
    Raises CheckpointError where the checkpoint is missing, damaged, or of another size in any other way.
    """
    state = read_state(Path(path)) if Run.find(path) is None else load_model(path).state_dict()
    state, changes = fit_positions(state, model.config)
    load_strict(
        model, state, f"'{path}'", "A run starts from weights of its own model: change the options or the file."
    )
    return changes
