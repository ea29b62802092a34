"""A bundle whose encoders measure brightness and loudness, so that the offset of a clip is known exactly.

The brightness 0..1 of the tubelet's middle frame and the loudness -50..-10 dBFS of the segment are each mapped to an
angle 0..pi; the embedding is its cosine and sine. Brightness and loudness that vary alike then have similarity 1.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from fake_faces import face_spec
from meter_graphs import angle_constants, angle_nodes, embedding_outputs, node, save_graph
from onnx import TensorProto

from cavsync.manifest import (
    MANIFEST_NAME,
    AudioSpec,
    Calibration,
    FrontendSpec,
    GraphSpec,
    Manifest,
    SyncSpec,
    TensorSpec,
    VisualSpec,
    describe_files,
)

QUIET_DBFS, LOUD_DBFS = -50.0, -10.0
BINS = 128


def write_fake_bundle(
    folder: Path,
    *,
    calibrated: bool = True,
    window_seconds: float = 2.0,
    step_seconds: float = 0.5,
    max_offset_ms: float = 600.0,
    hop_ms: float = 40.0,
    segment_frames: int = 6,
    num_frames: int = 3,
    img_size: int = 16,
    resolution_ms: float = 10.0,
    bias: float = -3.5,
    threshold: float = 0.5,
    face_places: tuple[tuple[float, float], ...] = (),
) -> Path:
    """Write the bundle and return its folder; with `face_places`, a face path too (see `fake_faces`)."""
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {
        "audio_frontend": _frontend(folder),
        "audio_encoder": _audio_encoder(folder, segment_frames),
        "visual_encoder": _visual_encoder(folder, num_frames, img_size),
    }
    calibration = Calibration(
        features=["peak_z", "agreement"],
        weights=[0.8, 3.0],
        bias=bias,
        threshold=threshold,
        tolerance_ms=40.0,
        resolution_ms=resolution_ms,
        zero_point_ms=0.0,
        num_clips=10,
        num_windows=100,
        source="made up",
    )
    faces = face_spec(folder, face_places, calibration if calibrated else None) if face_places else None
    graphs_of_faces = {} if faces is None else faces.graphs
    manifest = Manifest(
        name="light and loudness meter",
        model={},
        precision="fp32",
        frontend=FrontendSpec(),
        audio=AudioSpec(segment_frames, 0.0, 1.0),
        visual=VisualSpec(img_size, num_frames, 0.04),
        sync=SyncSpec(25.0, hop_ms, max_offset_ms, window_seconds, step_seconds),
        weights_licence="CC0-1.0",
        versions={},
        source={},
        calibration=calibration if calibrated else None,
        faces=faces,
        files=describe_files(folder, [graph.file for graph in (*graphs.values(), *graphs_of_faces.values())]),
        **graphs,
    )
    (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())
    return folder


def _frontend(folder: Path) -> GraphSpec:
    """Return a graph of the log of each 25 ms frame's mean power, the same in every bin."""
    nodes = [
        node("Mul", ["waveform", "waveform"], "power"),
        node("Unsqueeze", ["power", "channel_axis"], "channel"),
        node("Conv", ["channel", "box"], "mean", strides=[160]),
        node("Transpose", ["mean"], "frames", perm=[0, 2, 1]),
        node("Add", ["frames", "floor"], "floored"),
        node("Log", ["floored"], "log"),
        node("Tile", ["log", "repeats"], "log_mel"),
    ]
    constants = {
        "channel_axis": np.array([1]),
        "box": np.full((1, 1, 400), 1 / 400, dtype=np.float32),
        "floor": np.array(1e-10, dtype=np.float32),
        "repeats": np.array([1, 1, BINS]),
    }
    inputs = [TensorSpec("waveform", [1, "samples"], "float32")]
    outputs = [TensorSpec("log_mel", [1, "frames", BINS], "float32")]
    return save_graph(folder, "audio_frontend", nodes, constants, inputs, outputs)


def _audio_encoder(folder: Path, segment_frames: int) -> GraphSpec:
    per_db = math.log(10) / 10
    nodes = [node("ReduceMean", ["log_mel"], "level", axes=[1, 2], keepdims=0), *angle_nodes("level")]
    constants = angle_constants(offset=QUIET_DBFS * per_db, scale=(LOUD_DBFS - QUIET_DBFS) * per_db)
    inputs = [TensorSpec("log_mel", ["batch", segment_frames, BINS], "float32")]
    return save_graph(folder, "audio_encoder", nodes, constants, inputs, embedding_outputs())


def _visual_encoder(folder: Path, num_frames: int, img_size: int) -> GraphSpec:
    nodes = [
        node("Gather", ["frames", "middle"], "frame", axis=1),
        node("Cast", ["frame"], "values", to=TensorProto.FLOAT),
        node("ReduceMean", ["values"], "level", axes=[1, 2, 3], keepdims=0),
        *angle_nodes("level"),
    ]
    constants = {**angle_constants(offset=0.0, scale=255.0), "middle": np.array(num_frames // 2)}
    inputs = [TensorSpec("frames", ["batch", num_frames, img_size, img_size, 3], "uint8")]
    return save_graph(folder, "visual_encoder", nodes, constants, inputs, embedding_outputs())
