"""A model with its decoder, opened by its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cavsync.errors import ConfigError
from cavsync.evaluate.encoders import open_model
from cavsync.evaluate.result import ModelId
from cavsync.manifest import MANIFEST_NAME
from cavsync.model import CAVMAESync


def open_decoder(path: Path | str, *, device: str = "cpu", **overrides: Any) -> tuple[ModelId, CAVMAESync]:
    """The pretraining model of a RUN folder, RUN/checkpoints/step-N or a `.pth` of the authors, on `device`.

    Raises ConfigError for a bundle, a classifier, a model without a decoder, or a device that is not there, and
    CheckpointError for what cannot be read.
    """
    if (Path(path) / MANIFEST_NAME).is_file():
        raise ConfigError(f"'{path}' is a bundle, which holds encoders only: give the run that it was exported from.")
    origin, model = open_model(path, **overrides)
    if not isinstance(model, CAVMAESync) or not model.config.has_decoder:
        raise ConfigError(f"'{path}' has no decoder to fill in patches with: give a model that was trained with one.")
    try:
        return origin, model.to(torch.device(device)).eval()
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"Device '{device}' cannot be used ({str(error).splitlines()[0]}): use cpu.") from None
