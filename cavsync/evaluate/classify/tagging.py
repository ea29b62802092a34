"""A classifier's checkpoint as a bundle in memory, to tag files with torch, without an export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cavsync.data.batches import normalised_frames
from cavsync.data.logmel import normalise
from cavsync.deploy import Bundle
from cavsync.deploy.runtime.classifier import FRAMES, LOG_MEL, Classifier, known_target
from cavsync.errors import CheckpointError
from cavsync.evaluate.classify.classifier import open_classifier
from cavsync.evaluate.inputs.model_bundle import bundle_of_model
from cavsync.evaluate.results.result import ModelId
from cavsync.model.classifier import AUDIO_MODES, FRAME_MODES


def classifier_of_checkpoint(
    path: Path, labels: Path | None, target: str | None, **overrides: Any
) -> tuple[ModelId, Bundle, Classifier]:
    """Open a RUN, RUN/checkpoints/NAME or a `.pth` of the authors; errors as for `open_classifier` and
    `known_target`."""
    opened = open_classifier(path, labels, **overrides)
    # The authors' checkpoints do not state their modalities, but have both.
    mode = opened.mode or "multimodal"
    frames_per_clip = opened.frames_together
    inputs = [name for name, modes in ((LOG_MEL, AUDIO_MODES), (FRAMES, FRAME_MODES)) if mode in modes]

    @torch.inference_mode()
    def logits(given: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        fbank = normalise(torch.from_numpy(given[LOG_MEL])) if LOG_MEL in given else None
        frames = None
        if FRAMES in given:
            frames = normalised_frames(torch.from_numpy(given[FRAMES]).permute(0, 1, 4, 2, 3))
        found: NDArray[np.float32] = opened.model(fbank, frames, mode, frames_per_clip).float().numpy()
        if not np.isfinite(found).all():
            raise CheckpointError(f"{opened.id.name} gives values that are not finite: use another checkpoint")
        return found

    known = known_target(opened.target, target, opened.id.name)
    classifier = Classifier(opened.labels.display_names, known, inputs, logits, frames_per_clip)
    return opened.id, bundle_of_model(path, opened.id, opened.model), classifier
