"""A checkpoint as a bundle in memory, to score streams with torch, without an export.

It is not calibrated, so every decision is undetermined; offsets are estimated nevertheless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.data.frontend import LogMelFrontend
from cavsync.data.logmel import AUDIO_MEAN, AUDIO_STD
from cavsync.deploy import Bundle
from cavsync.errors import BundleError
from cavsync.evaluate.inputs.encoders import Encoder, encoder_of_model, open_model
from cavsync.evaluate.results.result import ModelId
from cavsync.manifest import AudioSpec, FileEntry, FrontendSpec, GraphSpec, Manifest, SyncSpec, VisualSpec
from cavsync.model import CAVMAESync, ModelConfig
from cavsync.model.classifier import CAVMAEFT

SHORT_SEGMENT_FRAMES = 100
# A manifest lists its graphs; nothing reads them here. Scores name a model by its graphs' hash: that of the weights.
IN_MEMORY = GraphSpec(file="", inputs=[], outputs=[])


def default_sync(config: ModelConfig) -> SyncSpec:
    """Return the default grid and window: every frame for short audio segments, a coarser, cheaper grid for longer
    ones, such as those of the published models."""
    if config.audio_length <= SHORT_SEGMENT_FRAMES:
        return SyncSpec(
            frame_rate_hz=25.0, hop_ms=40.0, max_offset_ms=1000.0, window_seconds=2.5, decision_step_seconds=0.5
        )
    return SyncSpec(
        frame_rate_hz=1.6, hop_ms=200.0, max_offset_ms=2000.0, window_seconds=10.0, decision_step_seconds=2.0
    )


def bundle_of_checkpoint(path: Path, **overrides: Any) -> tuple[ModelId, Bundle]:
    """Open a RUN folder, RUN/checkpoints/step-N or a .pth of the authors for scoring. Errors as for `open_model`."""
    model_id, model = open_model(path, **overrides)
    return model_id, bundle_of_model(path, model_id, model)


def bundle_of_model(path: Path, model_id: ModelId, model: CAVMAESync | CAVMAEFT) -> Bundle:
    """Make the bundle of an opened model."""
    encoder = encoder_of_model(model_id, model)
    config = model.config
    manifest = Manifest(
        name=model_id.name,
        model=config.model_dump(mode="json"),
        precision="fp32",
        frontend=FrontendSpec(),
        audio=AudioSpec(segment_frames=config.audio_length, mean=AUDIO_MEAN, std=AUDIO_STD),
        visual=VisualSpec(config.img_size, config.num_frames, config.frame_step_seconds),
        sync=default_sync(config),
        audio_frontend=IN_MEMORY,
        audio_encoder=IN_MEMORY,
        visual_encoder=IN_MEMORY,
        weights_licence="not stated",
        versions={},
        source={},
        files={IN_MEMORY.file: FileEntry(model_id.sha256, 0)},
    )
    audio, visual = _EncoderEngine(encoder, "audio"), _EncoderEngine(encoder, "visual")
    return Bundle(path, manifest, _FrontendEngine(), audio, visual, config.embed_dim)


@dataclass(frozen=True)
class _EncoderEngine:
    encoder: Encoder
    side: str

    def run(self, values: NDArray[Any], output: str) -> NDArray[np.float32]:
        """Return `embedding` or `patches` of raw log-mel or RGB bytes; BundleError for values that are not finite."""
        return self.run_all(values, [output])[0]

    def run_all(self, values: NDArray[Any], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return several outputs of one computation, as `run` returns one."""
        vectors = self.encoder.embed_audio(values) if self.side == "audio" else self.encoder.embed_frames(values)
        found = [vectors.pooled if output == "embedding" else vectors.patches for output in outputs]
        if not all(np.isfinite(values).all() for values in found):
            raise BundleError(f"{self.encoder.id.name} gives values that are not finite: use another checkpoint")
        return found


class _FrontendEngine:
    def __init__(self) -> None:
        self._module = LogMelFrontend()

    def run(self, values: NDArray[Any], output: str) -> NDArray[np.float32]:
        """Return the log-mel (1, frames, 128) of samples (1, n)."""
        del output
        import torch

        with torch.inference_mode():
            found: NDArray[np.float32] = self._module(torch.from_numpy(values)).numpy()
        return found
