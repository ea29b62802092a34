"""A face path whose answer is known: every face's mouth is open as far as its part of the frame is bright.

Faces are always seen at the same places (centres in shares of the frame's longer side); where the frame is black there
is none. The mouth's opening and the sound's loudness are mapped to angles, as brightness is in `fake_bundle`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from fake_heads import CLOSED, OPENED, head_points
from meter_graphs import DIM, angle_constants, node, save_graph
from onnx import TensorProto

from cavsync.manifest import Calibration, FaceSpec, GraphSpec, TensorSpec
from cavsync.media.face import NUM_POINTS
from cavsync.media.mouth import NUM_FEATURES, NUM_LANDMARK_FEATURES

QUIET_DBFS, LOUD_DBFS = -50.0, -10.0
DARK, BRIGHT = 0.1, 0.3
"""Brightness of a closed and of an open mouth, in shares of white; the steps between frames are no cuts."""
FACE_SIZE = 0.2
NUM_FRAMES, SEGMENT_FRAMES, STEP_FRAMES, RATE_HZ = 13, 45, 4, 25.0
EYES = 0.3
"""Distance of the eyes in shares of the mesh's square; the mouth is open at full white."""


def face_spec(folder: Path, places: tuple[tuple[float, float], ...], calibration: Calibration | None) -> FaceSpec:
    """Write the face graphs to `folder` and describe them."""
    return FaceSpec(
        face_detector_short_range=_detector(folder, "face_detector_short_range", 128, 896, places),
        face_detector_full_range=_detector(folder, "face_detector_full_range", 192, 2304, ()),
        face_mesh=_mesh(folder),
        face_frame_encoder=_frame_encoder(folder),
        face_visual_encoder=_visual_encoder(folder),
        face_audio_encoder=_audio_encoder(folder),
        frame_rate_hz=RATE_HZ,
        num_frames=NUM_FRAMES,
        segment_frames=SEGMENT_FRAMES,
        step_frames=STEP_FRAMES,
        source={},
        licences={},
        calibration=calibration,
        file_calibration=calibration,
    )


def _detector(folder: Path, name: str, size: int, anchors: int, places: tuple[tuple[float, float], ...]) -> GraphSpec:
    faces = np.zeros((1, anchors, 17), np.float32)
    faces[..., -1] = -100
    for place in places:
        # Two anchors in each of 16 x 16 cells.
        column, row = (int(share * 16) for share in place)
        index = 2 * (16 * row + column)
        offset = [(share - (cell + 0.5) / 16) * size for share, cell in zip(place, (column, row), strict=True)]
        eyes = [offset[0] - 0.05 * size, offset[1], offset[0] + 0.05 * size, offset[1]]
        faces[0, index] = [*offset, FACE_SIZE * size, FACE_SIZE * size, *eyes, *offset * 4, 10]
    nodes = [
        node("Cast", ["image"], "values", to=TensorProto.FLOAT),
        node("ReduceMean", ["values"], "level", axes=[2, 3], keepdims=0),
        node("ReduceMean", ["level"], "one_level", axes=[1], keepdims=1),
        node("Mul", ["one_level", "zero"], "flat"),
        node("Unsqueeze", ["flat", "last_axis"], "nothing"),
        node("Add", ["nothing", "constant"], "faces"),
    ]
    constants = {"zero": np.array(0, np.float32), "last_axis": np.array([2]), "constant": faces}
    inputs = [TensorSpec("image", ["batch", size, size, 3], "uint8")]
    return save_graph(folder, name, nodes, constants, inputs, [TensorSpec("faces", ["batch", anchors, 17], "float32")])


def _mesh(folder: Path) -> GraphSpec:
    head, opened = (EYES * head_points(opening) + (0.5, 0.45, 0.0) for opening in (0.0, 1.0))
    # Points that no feature uses become the outline of the face, whose square is then the same again.
    unused = ~head_points(0.0).any(axis=1)
    angles = np.linspace(0, 2 * np.pi, unused.sum(), endpoint=False)
    head[unused] = opened[unused] = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1) / 3 + (0.5, 0.5, 0)
    base = np.append(192 * head.ravel(), -5).astype(np.float32)
    slope = np.append(192 * (opened - head).ravel(), 200).astype(np.float32)
    nodes = [
        node("Cast", ["image"], "values", to=TensorProto.FLOAT),
        node("ReduceMean", ["values"], "level", axes=[1, 2, 3], keepdims=0),
        node("Div", ["level", "white"], "share"),
        node("Unsqueeze", ["share", "last_axis"], "column"),
        node("Mul", ["column", "slope"], "moved"),
        node("Add", ["moved", "base"], "points"),
    ]
    constants = {"white": np.array(255, np.float32), "last_axis": np.array([1]), "slope": slope, "base": base}
    inputs = [TensorSpec("image", ["batch", 192, 192, 3], "uint8")]
    outputs = [TensorSpec("points", ["batch", 3 * NUM_POINTS + 1], "float32")]
    return save_graph(folder, "face_mesh", nodes, constants, inputs, outputs)


def _frame_encoder(folder: Path) -> GraphSpec:
    nodes = [node("Gather", ["features", "opening"], "encoded", axis=1)]
    constants = {"opening": np.array([NUM_LANDMARK_FEATURES - 1])}
    inputs = [TensorSpec("features", ["batch", NUM_FEATURES], "float32")]
    outputs = [TensorSpec("encoded", ["batch", 1], "float32")]
    return save_graph(folder, "face_frame_encoder", nodes, constants, inputs, outputs)


def _visual_encoder(folder: Path) -> GraphSpec:
    """The angle of the frame in the middle of each NUM_FRAMES."""
    nodes = [node("Slice", ["encoded", "begin", "end", "time"], "level"), *_moments("level")]
    constants = {
        **angle_constants(CLOSED + OPENED * DARK, OPENED * (BRIGHT - DARK)),
        **{"begin": np.array([NUM_FRAMES // 2]), "end": np.array([-(NUM_FRAMES // 2)]), "time": np.array([1])},
    }
    inputs = [TensorSpec("encoded", ["batch", "frames", 1], "float32")]
    return save_graph(folder, "face_visual_encoder", nodes, constants, inputs, _embedding())


def _audio_encoder(folder: Path) -> GraphSpec:
    """The angle of the mean level of the five frames in the middle of each segment."""
    per_db = math.log(10) / 10
    nodes = [
        node("ReduceMean", ["log_mel"], "levels", axes=[2], keepdims=1),
        node("Slice", ["levels", "begin", "end", "time"], "middles"),
        node("Transpose", ["middles"], "in_time", perm=[0, 2, 1]),
        node("AveragePool", ["in_time"], "means", kernel_shape=[5], strides=[STEP_FRAMES]),
        node("Transpose", ["means"], "level", perm=[0, 2, 1]),
        *_moments("level"),
    ]
    side = SEGMENT_FRAMES // 2 - 2
    constants = {
        **angle_constants(QUIET_DBFS * per_db, (LOUD_DBFS - QUIET_DBFS) * per_db),
        **{"begin": np.array([side]), "end": np.array([-side]), "time": np.array([1])},
    }
    inputs = [TensorSpec("log_mel", ["batch", "frames", 128], "float32")]
    return save_graph(folder, "face_audio_encoder", nodes, constants, inputs, _embedding())


def _moments(level: str) -> list[Any]:
    """Map levels (B, n, 1) to the embeddings (B, n, 2) of `angle_nodes`."""
    return [
        node("Sub", [level, "offset"], "above"),
        node("Div", ["above", "scale"], "share"),
        node("Clip", ["share", "zero", "one"], "clipped"),
        node("Mul", ["clipped", "pi"], "angle"),
        node("Cos", ["angle"], "cosine"),
        node("Sin", ["angle"], "sine"),
        node("Concat", ["cosine", "sine"], "embedding", axis=2),
    ]


def _embedding() -> list[TensorSpec]:
    return [TensorSpec("embedding", ["batch", "moments", DIM], "float32")]
