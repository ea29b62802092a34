"""The configuration of a classifier's encoder: that of the checkpoint it starts from, or goes on with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cavsync.errors import CheckpointError, ConfigError
from cavsync.model import ModelConfig
from cavsync.model.checkpoint import read_run_config
from cavsync.model.load import run_and_step
from cavsync.model.upstream import inspect_upstream
from cavsync.train.recipes import Recipe
from cavsync.train.tasks.classification import UNTRAINED


def with_starting_model(recipe: Recipe, values: Mapping[str, Any], run_dir: Path) -> Recipe:
    """A classifying recipe with the sizes of what it starts from; other recipes as they are.

    values: the options that will be set. What a run in `run_dir` holds comes first, so that going on does not need the
    start. The stretches of time that augmentation may blank or shift are scaled to the length of the sound.
    Raises CheckpointError where the start is missing or damaged, ConfigError where a probe has none.
    """
    model, train = recipe
    if train.classify is None:
        return recipe
    start = str(run_dir) if (run_dir / "config.json").is_file() else values.get("init_from", train.init_from)
    if start is None:
        if values.get("freeze_encoder", train.classify.freeze_encoder) and "vision_mae" not in values:
            raise ConfigError(UNTRAINED)
        return recipe
    found = _config_of(Path(start))
    augmentation = train.augmentation
    scale = found.audio_length / model.audio_length
    scaled = {name: round(getattr(augmentation, name) * scale) for name in ("time_mask_frames", "time_shift_frames")}
    train = train.model_copy(update={"augmentation": augmentation.model_copy(update=scaled)})
    return found.model_copy(update={"has_decoder": False}), train


def _config_of(path: Path) -> ModelConfig:
    if not path.exists():
        raise CheckpointError(
            f"'{path}', which the run starts from, does not exist: name a run or a .pth with --set init_from=PATH."
        )
    found = run_and_step(path)
    return inspect_upstream(path).config if found is None else ModelConfig(**read_run_config(found[0])["model"])
