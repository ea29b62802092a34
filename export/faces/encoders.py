"""The encoders of the face model as ONNX graphs, each compared with the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cavsync.data.logmel import AUDIO_MEAN, AUDIO_STD, NUM_MEL_BINS, normalise
from cavsync.export.graphs import GraphStage, example_of, write_graph
from cavsync.export.parity import OutputParity, compare
from cavsync.export.runners import open_runner
from cavsync.manifest import GraphSpec, TensorSpec
from cavsync.media.mouth import MOUTH_SIZE, NUM_FEATURES, NUM_LANDMARK_FEATURES
from cavsync.model.face_sync import FRAMES_PER_STEP, NUM_FRAMES, SEGMENT_FRAMES, FaceSync

Array = NDArray[Any]
NUM_SAMPLES = 12
SMOOTHING_FRAMES = 4
NUM_STEPS = 3
"""Moments after the first one in examples and samples."""


class FrameEncoder(nn.Module):
    """Features of single frames (B, NUM_FEATURES) -> numbers that describe them (B, C)."""

    def __init__(self, model: FaceSync) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        """Encode."""
        return self.model.encode_frames(features)


class VisualEncoder(nn.Module):
    """T consecutive encoded frames (B, T, C) -> unit embeddings (B, T - NUM_FRAMES + 1, D)."""

    def __init__(self, model: FaceSync) -> None:
        super().__init__()
        self.model = model

    def forward(self, encoded: Tensor) -> Tensor:
        """Encode."""
        return self.model.encode_visual(encoded)


class AudioEncoder(nn.Module):
    """Raw log-mel (B, M, 128) -> unit embeddings (B, (M - SEGMENT_FRAMES) // FRAMES_PER_STEP + 1, D)."""

    def __init__(self, model: FaceSync) -> None:
        super().__init__()
        self.model = model

    def forward(self, log_mel: Tensor) -> Tensor:
        """Normalise and encode."""
        return self.model.encode_audio(normalise(log_mel))


def write_encoders(
    model: FaceSync, folder: Path, metadata: dict[str, str]
) -> tuple[dict[str, GraphSpec], list[OutputParity]]:
    """Write the three encoders to `folder` and compare them with the model; return their interfaces and the results."""
    graphs, parity = {}, []
    inputs = sample_inputs(model)
    for name, stage in stages(model).items():
        path = write_graph(stage, folder, {"role": name, **metadata})
        graphs[name] = stage.spec
        parity.append(_check(name, model, open_runner(path, "onnxruntime"), inputs[name], stage.spec.outputs[0].name))
    return graphs, parity


def stages(model: FaceSync) -> dict[str, GraphStage]:
    """Describe the encoders by their names in the manifest; puts the model in evaluation mode."""
    model = model.eval()
    embedding = TensorSpec("embedding", ["batch", "moments", model.embedding_dim], "float32")
    stages: dict[str, tuple[nn.Module, TensorSpec, TensorSpec, int | None]] = {
        "face_frame_encoder": (
            FrameEncoder(model),
            TensorSpec("features", ["batch", NUM_FEATURES], "float32"),
            TensorSpec("encoded", ["batch", model.encoded_width], "float32"),
            None,
        ),
        "face_visual_encoder": (
            VisualEncoder(model),
            TensorSpec("encoded", ["batch", "frames", model.encoded_width], "float32"),
            embedding,
            NUM_FRAMES + NUM_STEPS,
        ),
        "face_audio_encoder": (
            AudioEncoder(model),
            TensorSpec("log_mel", ["batch", "frames", NUM_MEL_BINS], "float32"),
            embedding,
            SEGMENT_FRAMES + NUM_STEPS * FRAMES_PER_STEP,
        ),
    }
    return {
        name: _stage(module, GraphSpec(f"{name}.onnx", [source], [result]), length)
        for name, (module, source, result, length) in stages.items()
    }


def _stage(module: nn.Module, spec: GraphSpec, length: int | None) -> GraphStage:
    """Describe a graph of single frames, or of any number of them, `length` in the example."""
    if length is None:
        return GraphStage(module, (example_of(spec.inputs[0]),), (0,), spec)
    return GraphStage(module, (torch.zeros(2, length, spec.inputs[0].shape[-1]),), (0, 1), spec)  # type: ignore[arg-type]


@torch.no_grad()
def sample_inputs(model: FaceSync) -> dict[str, Array]:
    """Draw inputs of each encoder that look like footage: smooth motion of the landmarks around the training clips'
    mean, images of any brightness, and log-mel of any level."""
    random = np.random.default_rng(5)
    num_frames, num_log_mel = NUM_FRAMES + NUM_STEPS, SEGMENT_FRAMES + NUM_STEPS * FRAMES_PER_STEP
    count = NUM_SAMPLES * num_frames
    motion = _smooth(random.normal(size=(count + SMOOTHING_FRAMES, NUM_LANDMARK_FEATURES)))
    landmarks = model.landmark_mean.numpy() + motion * model.landmark_spread.numpy()
    level, contrast = random.uniform(40, 200, size=(count, 1)), random.uniform(5, 50, size=(count, 1))
    mouths = np.clip(level + contrast * random.normal(size=(count, MOUTH_SIZE**2)), 0, 255)
    features = np.concatenate([landmarks, mouths], axis=1).astype(np.float32)
    encoded = model.eval().encode_frames(torch.from_numpy(features)).unflatten(0, (NUM_SAMPLES, num_frames))
    levels = random.uniform(-8, 2, size=(NUM_SAMPLES, 1, 1)) + random.normal(size=(NUM_SAMPLES, 1, NUM_MEL_BINS))
    log_mel = AUDIO_MEAN + AUDIO_STD * (levels / 4 + random.normal(size=(NUM_SAMPLES, num_log_mel, NUM_MEL_BINS)))
    return {
        "face_frame_encoder": features[::num_frames],
        "face_visual_encoder": encoded.numpy(),
        "face_audio_encoder": log_mel.astype(np.float32),
    }


@torch.no_grad()
def reference_outputs(name: str, model: FaceSync, values: Array) -> Array:
    """Compute an encoder's output without the exported module."""
    tensor = torch.from_numpy(values)
    if name == "face_frame_encoder":
        return model.encode_frames(tensor).numpy()
    if name == "face_visual_encoder":
        return model.encode_visual(tensor).numpy()
    # The normalisation is repeated here on purpose, with the paper's constants.
    return model.encode_audio((tensor + 5.081) / 4.4849).numpy()


def _check(name: str, model: FaceSync, run: Any, values: Array, output: str) -> OutputParity:
    alone = np.concatenate([run(values[place : place + 1])[0] for place in range(len(values))])
    together = run(values)[0]
    names = [f"drawn sample {number}" for number in range(len(values))]
    return compare(f"{name}, float32", "fp32", output, alone, together, reference_outputs(name, model, values), names)


def _smooth(values: Array) -> Array:
    """Moving mean over SMOOTHING_FRAMES frames, (n + SMOOTHING_FRAMES, C) -> (n, C)."""
    sums = np.cumsum(values, axis=0)
    smooth: Array = (sums[SMOOTHING_FRAMES:] - sums[:-SMOOTHING_FRAMES]) / SMOOTHING_FRAMES**0.5
    return smooth
