"""Wrap the encoders with their preprocessing as modules, and write them as ONNX graphs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cavsync.data.batches import IMAGENET_MEAN, IMAGENET_STD
from cavsync.data.frontend import LogMelFrontend
from cavsync.data.logmel import NUM_MEL_BINS, normalise
from cavsync.export.quiet import quiet
from cavsync.manifest import ENCODERS, FRAME_ENCODER, GraphSpec, TensorSpec
from cavsync.media.align import SAMPLE_RATE_HZ
from cavsync.model import ModelConfig
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.model.patch import PairStem, stem_width


class AudioEncoder(nn.Module):
    """Raw log-mel (B, L, 128) -> L2-normalised embedding (B, D) and patch tokens (B, N, D)."""

    def __init__(self, model: AudioVisualEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise, encode, scale to unit length."""
        encoded = self.model.encode_audio(normalise(log_mel))
        return F.normalize(encoded.pooled, dim=-1), encoded.patches


class TakesFrames(nn.Module):
    """Base of graphs whose input is RGB frames (B, T, H, W, 3) uint8."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1) * 255)

    def normalised(self, frames: Tensor) -> Tensor:
        """Bytes (B, T, H, W, 3) -> normalised frames (B, T, 3, H, W)."""
        # Cast first: TensorRT has no other operation on bytes.
        images = frames.float().permute(0, 1, 4, 2, 3)
        return (images - self.mean) / self.std


class VisualEncoder(TakesFrames):
    """RGB frames (B, T, H, W, 3) uint8 -> L2-normalised embedding (B, D) and patch tokens (B, N, D)."""

    def __init__(self, model: AudioVisualEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise, encode, scale to unit length."""
        encoded = self.model.encode_frames(self.normalised(frames))
        return F.normalize(encoded.pooled, dim=-1), encoded.patches


class FrameEncoder(TakesFrames):
    """Pairs of successive RGB frames (B, 2, H, W, 3) uint8 -> their features (B, N, D), of a model with `pair_stem`."""

    def __init__(self, model: AudioVisualEncoder) -> None:
        super().__init__()
        self.stem = model.patch_embed_v

    def forward(self, pairs: Tensor) -> Tensor:
        """Normalise and encode."""
        assert isinstance(self.stem, PairStem)
        return self.stem.features(self.normalised(pairs))


class TubeletEncoder(nn.Module):
    """Features of a tubelet's pairs (B, T - 1, N, D) -> L2-normalised embedding (B, D) and patch tokens (B, N, D)."""

    def __init__(self, model: AudioVisualEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Join, encode, scale to unit length."""
        model = self.model
        assert isinstance(model.patch_embed_v, PairStem)
        patches = model.place_frames(model.patch_embed_v.joined(features))
        encoded = model.visual_embedding(model.visual_stream(patches))
        return F.normalize(encoded.pooled, dim=-1), encoded.patches


@dataclass(frozen=True)
class GraphStage:
    """A graph to write: its module, an example of every input, the dimensions left open in all inputs, and its spec,
    whose inputs have the names of the module's arguments."""

    module: nn.Module
    examples: tuple[Tensor, ...]
    dynamic_dims: tuple[int, ...]
    spec: GraphSpec


def stages(model: AudioVisualEncoder) -> dict[str, GraphStage]:
    """Describe the graphs that every model has, by their names in the manifest; puts the model in evaluation mode."""
    model = model.eval()
    log_mel, frames = encoder_inputs(model.config)
    made = {
        "audio_frontend": GraphStage(
            LogMelFrontend(),
            (torch.zeros(1, SAMPLE_RATE_HZ),),
            (1,),
            GraphSpec(
                "audio_frontend.onnx",
                [TensorSpec("waveform", [1, "samples"], "float32")],
                [TensorSpec("log_mel", [1, "frames", 128], "float32")],
            ),
        ),
        "audio_encoder": GraphStage(
            AudioEncoder(model), (example_of(log_mel),), (0,), _encoder_spec(model, "audio_encoder.onnx", log_mel)
        ),
    }
    return made | (_pair_stages(model) if model.config.pair_stem else {"visual_encoder": _visual_stage(model, frames)})


def _visual_stage(model: AudioVisualEncoder, frames: TensorSpec) -> GraphStage:
    spec = _encoder_spec(model, "visual_encoder.onnx", frames)
    return GraphStage(VisualEncoder(model), (example_of(frames),), (0,), spec)


def _pair_stages(model: AudioVisualEncoder) -> dict[str, GraphStage]:
    config = model.config
    size, (rows, columns) = config.img_size, config.visual_grid
    pairs = TensorSpec("pairs", ["batch", 2, size, size, 3], "uint8")
    features = TensorSpec("features", ["batch", rows * columns, stem_width(config.embed_dim)], "float32")
    joined = replace(features, shape=["batch", config.num_frames - 1, *features.shape[1:]])
    spec = GraphSpec("frame_encoder.onnx", [pairs], [features])
    visual = _encoder_spec(model, "visual_encoder.onnx", joined)
    return {
        FRAME_ENCODER: GraphStage(FrameEncoder(model), (example_of(pairs),), (0,), spec),
        "visual_encoder": GraphStage(TubeletEncoder(model), (example_of(joined),), (0,), visual),
    }


def encoder_names(config: ModelConfig) -> tuple[str, ...]:
    """Names of the graphs that have a precision and engines."""
    return (FRAME_ENCODER, *ENCODERS) if config.pair_stem else ENCODERS


def encoder_inputs(config: ModelConfig) -> tuple[TensorSpec, TensorSpec]:
    """Describe a batch of log-mel segments and a batch of tubelets."""
    size = config.img_size
    return (
        TensorSpec("log_mel", ["batch", config.audio_length, NUM_MEL_BINS], "float32"),
        TensorSpec("frames", ["batch", config.num_frames, size, size, 3], "uint8"),
    )


def example_of(tensor: TensorSpec) -> Tensor:
    """Return a batch of two zeros: with a batch of one, the exporter would fix the size."""
    sizes = [size for size in tensor.shape if isinstance(size, int)]
    return torch.zeros(2, *sizes, dtype=getattr(torch, tensor.dtype))


def write_graph(stage: GraphStage, folder: Path, metadata: dict[str, str], opset: int = 18) -> Path:
    """Write one ONNX file with its metadata; returns its path."""
    path = folder / stage.spec.file
    names = [tensor.name for tensor in stage.spec.inputs]
    shape = stage.spec.inputs[0].shape
    dimensions = {place: torch.export.Dim(str(shape[place])) for place in stage.dynamic_dims}
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            stage.module.eval(),
            kwargs=dict(zip(names, stage.examples, strict=True)),
            dynamo=True,
            opset_version=opset,
            input_names=names,
            output_names=[tensor.name for tensor in stage.spec.outputs],
            dynamic_shapes=dict.fromkeys(names, dimensions),
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(metadata)
    for node in program.model.graph:
        # It contains file paths of the exporting machine.
        node.metadata_props.pop("pkg.torch.onnx.stack_trace", None)
    program.save(str(path), external_data=False)
    return path


def _encoder_spec(model: AudioVisualEncoder, file: str, source: TensorSpec) -> GraphSpec:
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
