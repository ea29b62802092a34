"""The mean of several checkpoints of one run: often better than any of them (Izmailov et al. 2018, arXiv 1803.05407).

CAV-MAE averages the weights of its last epochs the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cavsync.atomic import require_new_folder, write_bytes_atomically
from cavsync.errors import CheckpointError, ConfigError
from cavsync.model import ModelConfig
from cavsync.model.checkpoint import save_state, write_run_config
from cavsync.model.face_config import FaceConfig
from cavsync.run import RunConfig, RunFolder


def average_checkpoints(run_dir: str | Path, steps: Iterable[int]) -> dict[str, Tensor]:
    """Return the mean of the weights of `steps`, by name, on the CPU, each in its own dtype.

    Sums are taken in float64. Integers, such as the batches that a norm has seen, come from the last step; the
    statistics of batch norms are averaged like weights.

    Raises:
        ConfigError: no step, or one named twice.
        CheckpointError: a step that is missing, damaged, or of another model than the others.
    """
    ordered, folder = _ordered(steps), RunFolder(Path(run_dir))
    sums: dict[str, Tensor] = {}
    for step in ordered:
        state = _read(folder, step)
        if sums:
            _require_same(sums, state, folder, step)
        for name, value in state.items():
            if not value.is_floating_point():
                sums[name] = value
            elif name in sums:
                sums[name] += value
            else:
                sums[name] = value.double()
    dtypes = {name: value.dtype for name, value in state.items()}
    return {
        name: (value / len(ordered)).to(dtypes[name]) if dtypes[name].is_floating_point else value
        for name, value in sums.items()
    }


def write_average(run_dir: str | Path, steps: Sequence[int], out_dir: str | Path) -> Path:
    """Write `average_checkpoints` as the last step's checkpoint of a new run; return the checkpoint's folder.

    The new run has the old one's configuration and held-out clips, and lists the steps under `source`: it can be
    evaluated and exported, but not resumed.

    Raises:
        ConfigError, CheckpointError: as for `average_checkpoints`, or out_dir exists and is not an empty folder.
    """
    run, out = RunFolder(Path(run_dir)), RunFolder(Path(out_dir))
    config = RunConfig.read(run.config_file)
    require_new_folder(out.path, "write the average to another one")
    weights = average_checkpoints(run.path, steps)
    ordered = _ordered(steps)
    write_run_config(
        out.path,
        (FaceConfig if config.kind == "face" else ModelConfig).model_validate(config.model),
        train=config.train,
        source={**(config.source or {}), "averaged_steps": ordered},
        label_dim=config.label_dim,
        head=config.head,
    )
    for kept, copy in (
        (run.held_out_file, out.held_out_file),
        (run.class_labels_file, out.class_labels_file),
        (run.face_offsets_file, out.face_offsets_file),
    ):
        if kept.is_file():
            write_bytes_atomically(copy, kept.read_bytes())
    return save_state(weights, out.path, ordered[-1])


def _ordered(steps: Iterable[int]) -> list[int]:
    ordered = sorted(steps)
    if not ordered or len(set(ordered)) < len(ordered):
        raise ConfigError(f"The steps to average are {ordered}, expected at least one and each once: name others.")
    return ordered


def _read(folder: RunFolder, step: int) -> dict[str, Tensor]:
    path = folder.checkpoint(step).weights
    if not path.is_file():
        raise CheckpointError(
            f"'{folder.path}' has no step {step}: it has {', '.join(map(str, folder.steps())) or 'none'}, name those."
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"'{path}' is damaged or unreadable: leave step {step} out.") from error


def _require_same(sums: Mapping[str, Tensor], state: Mapping[str, Tensor], folder: RunFolder, step: int) -> None:
    """CheckpointError where names, shapes or kinds of number differ."""
    unshared = sums.keys() ^ state.keys()
    differing = sorted(unshared) or [
        name
        for name, value in state.items()
        if value.shape != sums[name].shape or value.is_floating_point() != sums[name].is_floating_point()
    ]
    if differing:
        raise CheckpointError(
            f"Step {step} of '{folder.path}' holds another model than the steps before ({differing[0]} differs): "
            "average checkpoints of one run."
        )
