"""The three graphs of a bundle: modules that hold all preprocessing, and their way to ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cavsync.data.batches import IMAGENET_MEAN, IMAGENET_STD
from cavsync.data.frontend import LogMelFrontend
from cavsync.data.logmel import normalise
from cavsync.export.quiet import quiet
from cavsync.manifest import GraphSpec, TensorSpec
from cavsync.media.align import SAMPLE_RATE_HZ
from cavsync.model import CAVMAESync


class AudioEncoder(nn.Module):
    """Raw log-mel (B, L, 128) -> L2-normalised embedding (B, D) and patch tokens (B, N, D)."""

    def __init__(self, model: CAVMAESync) -> None:
        super().__init__()
        self.model = model

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise, encode, scale to unit length."""
        encoded = self.model.encode_audio(normalise(log_mel))
        return F.normalize(encoded.pooled, dim=-1), encoded.patches


class VisualEncoder(nn.Module):
    """RGB pictures (B, T, H, W, 3) uint8 -> L2-normalised embedding (B, D) and patch tokens (B, N, D)."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: CAVMAESync) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1) * 255)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise, encode, scale to unit length."""
        # Cast first: TensorRT does nothing else with bytes.
        pictures = frames.float().permute(0, 1, 4, 2, 3)
        encoded = self.model.encode_frames((pictures - self.mean) / self.std)
        return F.normalize(encoded.pooled, dim=-1), encoded.patches


@dataclass(frozen=True)
class Stage:
    """One graph to write: the module that it comes from, an example input, the dimension left open, and its spec."""

    module: nn.Module
    example: Tensor
    dynamic_dim: int
    spec: GraphSpec


def stages(model: CAVMAESync) -> dict[str, Stage]:
    """The graphs of a model by the names of the manifest; the model is put in evaluation mode."""
    model = model.eval()
    config = model.config
    length, size, frames = config.audio_length, config.img_size, config.num_frames
    pictures = torch.zeros(2, frames, size, size, 3, dtype=torch.uint8)
    return {
        "audio_frontend": Stage(
            LogMelFrontend(),
            torch.zeros(1, SAMPLE_RATE_HZ),
            1,
            GraphSpec(
                "audio_frontend.onnx",
                [TensorSpec("waveform", [1, "samples"], "float32")],
                [TensorSpec("log_mel", [1, "frames", 128], "float32")],
            ),
        ),
        "audio_encoder": Stage(
            AudioEncoder(model),
            torch.zeros(2, length, 128),
            0,
            _encoder_spec(model, "audio_encoder.onnx", TensorSpec("log_mel", ["batch", length, 128], "float32")),
        ),
        "visual_encoder": Stage(
            VisualEncoder(model),
            pictures,
            0,
            _encoder_spec(
                model, "visual_encoder.onnx", TensorSpec("frames", ["batch", frames, size, size, 3], "uint8")
            ),
        ),
    }


def write_graph(stage: Stage, folder: Path, metadata: dict[str, str], opset: int = 18) -> Path:
    """Write one ONNX file with its metadata; returns its path."""
    path = folder / stage.spec.file
    name = stage.spec.inputs[0].name
    dimension = torch.export.Dim(str(stage.spec.inputs[0].shape[stage.dynamic_dim]))
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            stage.module.eval(),
            (stage.example,),
            dynamo=True,
            opset_version=opset,
            input_names=[name],
            output_names=[tensor.name for tensor in stage.spec.outputs],
            dynamic_shapes=({stage.dynamic_dim: dimension},),
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(metadata)
    for node in program.model.graph:
        # It names files of the machine that exported.
        node.metadata_props.pop("pkg.torch.onnx.stack_trace", None)
    program.save(str(path), external_data=False)
    return path


def _encoder_spec(model: CAVMAESync, file: str, source: TensorSpec) -> GraphSpec:
    grid = model.config.audio_grid if source.name == "log_mel" else model.config.visual_grid
    width = model.config.embed_dim
    return GraphSpec(
        file,
        [source],
        [
            TensorSpec("embedding", ["batch", width], "float32"),
            TensorSpec("patches", ["batch", grid[0] * grid[1], width], "float32"),
        ],
    )
