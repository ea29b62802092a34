"""The configuration of a classifier's encoder: that of the checkpoint that it starts from, or of the run resumed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cavsync.errors import CheckpointError, ConfigError
from cavsync.model import ModelConfig
from cavsync.model.face_config import FaceConfig
from cavsync.model.upstream import inspect_upstream
from cavsync.run import Run, RunFolder
from cavsync.train.recipes import Recipe
from cavsync.train.tasks.classification import UNTRAINED


def with_starting_model(recipe: Recipe, values: Mapping[str, Any], run_dir: Path) -> Recipe:
    """Give a classifying recipe the sizes of the checkpoint that it starts from; return other recipes unchanged.

    values: the options that will be set. A run in `run_dir` takes precedence, so that resuming does not need the
    original checkpoint. The lengths of augmentation's time masks and shifts are scaled to the length of the audio.
    Raises CheckpointError where the checkpoint is missing or damaged, ConfigError where a probe has none.
    """
    model, train = recipe
    if train.classify is None or isinstance(model, FaceConfig):
        return recipe
    is_begun = RunFolder(run_dir).config_file.is_file()
    start = str(run_dir) if is_begun else values.get("init_from", train.init_from)
    if start is None:
        if values.get("freeze_encoder", train.classify.freeze_encoder) and "vision_mae" not in values:
            raise ConfigError(UNTRAINED)
        return recipe
    found = _config_of(Path(start))
    augmentation = train.augmentation
    scale = values.get("audio_length", found.audio_length) / model.audio_length
    scaled = {name: round(getattr(augmentation, name) * scale) for name in ("time_mask_frames", "time_shift_frames")}
    train = train.model_copy(update={"augmentation": augmentation.model_copy(update=scaled)})
    # Whether the tables are trained is the recipe's choice; a resumed run keeps it.
    tr_pos = found.tr_pos if is_begun else model.tr_pos
    return found.model_copy(update={"has_decoder": False, "tr_pos": tr_pos}), train


def _config_of(path: Path) -> ModelConfig:
    if not path.exists():
        raise CheckpointError(
            f"'{path}', which the run starts from, does not exist: name a run or a .pth with --set init_from=PATH."
        )
    run = Run.find(path)
    if run is not None and run.is_face:
        raise CheckpointError(
            f"'{path}' holds a face model, which has no encoder for a classifier: start from another run."
        )
    return inspect_upstream(path).config if run is None else ModelConfig.model_validate(run.config.model)
