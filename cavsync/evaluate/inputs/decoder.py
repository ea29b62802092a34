"""A model with its decoder, opened by path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cavsync.errors import ConfigError
from cavsync.evaluate.inputs.encoders import open_model
from cavsync.evaluate.inputs.on_device import on_device
from cavsync.evaluate.results.result import ModelId
from cavsync.manifest import MANIFEST_NAME
from cavsync.model import CAVMAESync


def open_decoder(path: Path | str, *, device: str = "cpu", **overrides: Any) -> tuple[ModelId, CAVMAESync]:
    """Open the pretraining model of a RUN folder, RUN/checkpoints/step-N or a `.pth` of the authors, on `device`.

    overrides: model options for a `.pth`, which must include `norm_pix_loss`: a wrong value gives meaningless images.
    Raises ConfigError for a bundle, a classifier, a model without a decoder, a `.pth` without that option or a device
    that does not exist, and CheckpointError for what cannot be read.
    """
    if (Path(path) / MANIFEST_NAME).is_file():
        raise ConfigError(f"'{path}' is a bundle, which holds encoders only: give the run that it was exported from.")
    origin, model = open_model(path, **overrides)
    if origin.kind == "upstream" and "norm_pix_loss" not in overrides:
        raise ConfigError(
            f"'{path}' does not say whether its decoder predicts normalised patches: pass --set norm_pix_loss=true, as "
            "for the published CAV-MAE, or --set norm_pix_loss=false."
        )
    if not isinstance(model, CAVMAESync) or not model.config.has_decoder:
        raise ConfigError(f"'{path}' has no decoder to fill in patches with: give a model that was trained with one.")
    return origin, on_device(model, device)
