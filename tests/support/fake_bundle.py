"""A bundle whose encoders measure brightness and loudness, so that the offset of a clip is known exactly.

The brightness 0..1 of the tubelet's middle frame and the loudness -50..-10 dBFS of the segment are each mapped to an
angle 0..pi; the embedding is its cosine and sine. Brightness and loudness that vary alike then have similarity 1.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

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
DIM = 2
BINS = 128
TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}


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
    threshold: float = 0.5,
) -> Path:
    """Write the bundle and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {
        "audio_frontend": _frontend(folder),
        "audio_encoder": _audio_encoder(folder, segment_frames),
        "visual_encoder": _visual_encoder(folder, num_frames, img_size),
    }
    calibration = Calibration(
        features=["peak_z", "agreement"],
        weights=[0.8, 3.0],
        bias=-3.5,
        threshold=threshold,
        tolerance_ms=40.0,
        resolution_ms=resolution_ms,
        zero_point_ms=0.0,
        num_clips=10,
        num_windows=100,
        source="made up",
    )
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
        files=describe_files(folder, [graph.file for graph in graphs.values()]),
        **graphs,
    )
    (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())
    return folder


def _frontend(folder: Path) -> GraphSpec:
    """Return a graph of the log of each 25 ms frame's mean power, the same in every bin."""
    nodes = [
        _node("Mul", ["waveform", "waveform"], "power"),
        _node("Unsqueeze", ["power", "channel_axis"], "channel"),
        _node("Conv", ["channel", "box"], "mean", strides=[160]),
        _node("Transpose", ["mean"], "frames", perm=[0, 2, 1]),
        _node("Add", ["frames", "floor"], "floored"),
        _node("Log", ["floored"], "log"),
        _node("Tile", ["log", "repeats"], "log_mel"),
    ]
    constants = {
        "channel_axis": np.array([1]),
        "box": np.full((1, 1, 400), 1 / 400, dtype=np.float32),
        "floor": np.array(1e-10, dtype=np.float32),
        "repeats": np.array([1, 1, BINS]),
    }
    inputs = [TensorSpec("waveform", [1, "samples"], "float32")]
    outputs = [TensorSpec("log_mel", [1, "frames", BINS], "float32")]
    return _save(folder, "audio_frontend", nodes, constants, inputs, outputs)


def _audio_encoder(folder: Path, segment_frames: int) -> GraphSpec:
    per_db = math.log(10) / 10
    nodes = [_node("ReduceMean", ["log_mel"], "level", axes=[1, 2], keepdims=0), *_angle_nodes("level")]
    constants = _angle_constants(offset=QUIET_DBFS * per_db, scale=(LOUD_DBFS - QUIET_DBFS) * per_db)
    inputs = [TensorSpec("log_mel", ["batch", segment_frames, BINS], "float32")]
    return _save(folder, "audio_encoder", nodes, constants, inputs, _embedding_outputs())


def _visual_encoder(folder: Path, num_frames: int, img_size: int) -> GraphSpec:
    nodes = [
        _node("Gather", ["frames", "middle"], "frame", axis=1),
        _node("Cast", ["frame"], "values", to=TensorProto.FLOAT),
        _node("ReduceMean", ["values"], "level", axes=[1, 2, 3], keepdims=0),
        *_angle_nodes("level"),
    ]
    constants = {**_angle_constants(offset=0.0, scale=255.0), "middle": np.array(num_frames // 2)}
    inputs = [TensorSpec("frames", ["batch", num_frames, img_size, img_size, 3], "uint8")]
    return _save(folder, "visual_encoder", nodes, constants, inputs, _embedding_outputs())


def _angle_nodes(level: str) -> list[Any]:
    """Map (B,) levels to (B, 2): cosine and sine of pi * clip((level - offset) / scale, 0, 1)."""
    return [
        _node("Sub", [level, "offset"], "above"),
        _node("Div", ["above", "scale"], "share"),
        _node("Clip", ["share", "zero", "one"], "clipped"),
        _node("Mul", ["clipped", "pi"], "flat_angle"),
        _node("Unsqueeze", ["flat_angle", "last_axis"], "angle"),
        _node("Cos", ["angle"], "cosine"),
        _node("Sin", ["angle"], "sine"),
        _node("Concat", ["cosine", "sine"], "embedding", axis=1),
        _node("Unsqueeze", ["embedding", "last_axis"], "patches"),
    ]


def _angle_constants(offset: float, scale: float) -> dict[str, Any]:
    scalars = {"offset": offset, "scale": scale, "zero": 0.0, "one": 1.0, "pi": math.pi}
    return {**{name: np.array(value, dtype=np.float32) for name, value in scalars.items()}, "last_axis": np.array([1])}


def _embedding_outputs() -> list[TensorSpec]:
    return [
        TensorSpec("embedding", ["batch", DIM], "float32"),
        TensorSpec("patches", ["batch", 1, DIM], "float32"),
    ]


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs, [output], **attributes)


def _save(
    folder: Path,
    name: str,
    nodes: list[Any],
    constants: dict[str, Any],
    inputs: list[TensorSpec],
    outputs: list[TensorSpec],
) -> GraphSpec:
    def infos(specs: list[TensorSpec]) -> list[Any]:
        return [helper.make_tensor_value_info(spec.name, TYPES[spec.dtype], spec.shape) for spec in specs]

    stored = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, name, infos(inputs), infos(outputs), initializer=stored)
    # In opset 13 ReduceMean takes its axes as an attribute and Unsqueeze as an input; both change later.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    return GraphSpec(file=f"{name}.onnx", inputs=inputs, outputs=outputs)
