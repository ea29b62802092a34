"""The mean of several checkpoints of one run: often better than any of them (Izmailov et al. 2018, arXiv 1803.05407).

CAV-MAE averages the weights of its last epochs the same way.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cavsync.data.sources.classes import CLASS_LABELS_NAME
from cavsync.errors import CheckpointError, ConfigError
from cavsync.model import ModelConfig
from cavsync.model.checkpoint import WEIGHTS, all_steps, read_run_config, save_state, step_folder, write_run_config
from cavsync.train.split import HELD_OUT_NAME


def average_checkpoints(run_dir: str | Path, steps: Iterable[int]) -> dict[str, Tensor]:
    """The mean of the weights of `steps`, by name, on the CPU, each in its own dtype.

    Sums are taken in float64. Whole numbers, such as the batches that a norm has seen, come from the last step; the
    statistics of batch norms are averaged like weights.

    Raises:
        ConfigError: no step, or one named twice.
        CheckpointError: a step that is missing, damaged, or of another model than the others.
    """
    ordered = _ordered(steps)
    sums: dict[str, Tensor] = {}
    for step in ordered:
        state = _read(run_dir, step)
        if sums:
            _require_same(sums, state, run_dir, step)
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
    """Write `average_checkpoints` as the last step's checkpoint of a new run; returns the checkpoint's folder.

    The new run has the old one's configuration and held-out clips, and a note of the steps under `source`: it can be
    evaluated and exported, but not resumed.

    Raises:
        ConfigError, CheckpointError: as for `average_checkpoints`, or out_dir exists and is not an empty folder.
    """
    run, out = Path(run_dir), Path(out_dir)
    config = read_run_config(run)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"'{out}' exists and is not an empty folder: write the average to another one.")
    weights = average_checkpoints(run, steps)
    ordered = _ordered(steps)
    write_run_config(
        out,
        ModelConfig.model_validate(config["model"]),
        train=config.get("train"),
        source={**(config.get("source") or {}), "averaged_steps": ordered},
        label_dim=config.get("label_dim"),
        head=config.get("head", "linear"),
    )
    for name in (HELD_OUT_NAME, CLASS_LABELS_NAME):
        if (run / name).is_file():
            shutil.copyfile(run / name, out / name)
    return save_state(weights, out, ordered[-1])


def _ordered(steps: Iterable[int]) -> list[int]:
    ordered = sorted(steps)
    if not ordered or len(set(ordered)) < len(ordered):
        raise ConfigError(f"The steps to average are {ordered}, expected at least one and each once: name others.")
    return ordered


def _read(run_dir: str | Path, step: int) -> dict[str, Tensor]:
    path = step_folder(run_dir, step) / WEIGHTS
    if not path.is_file():
        raise CheckpointError(
            f"'{run_dir}' has no step {step}: it has {', '.join(map(str, all_steps(run_dir))) or 'none'}, name those."
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"'{path}' is damaged or unreadable: leave step {step} out.") from error


def _require_same(sums: Mapping[str, Tensor], state: Mapping[str, Tensor], run_dir: str | Path, step: int) -> None:
    """CheckpointError where names, shapes or kinds of number differ."""
    unshared = sums.keys() ^ state.keys()
    differing = sorted(unshared) or [
        name
        for name, value in state.items()
        if value.shape != sums[name].shape or value.is_floating_point() != sums[name].is_floating_point()
    ]
    if differing:
        raise CheckpointError(
            f"Step {step} of '{run_dir}' holds another model than the steps before ({differing[0]} differs): average "
            "checkpoints of one run."
        )
