"""The bundle of `fake_bundle` with a frame encoder: it measures the brightness of both frames of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from fake_bundle import write_fake_bundle
from meter_graphs import angle_constants, angle_nodes, embedding_outputs, node, save_graph
from onnx import TensorProto

from cavsync.manifest import MANIFEST_NAME, GraphSpec, TensorSpec, VisualSpec, describe_files, read_manifest


def write_pair_bundle(folder: Path, num_frames: int = 3, weights: Sequence[float] | None = None) -> Path:
    """Write the bundle and return its folder.

    weights: of the levels of all frames of all pairs of a tubelet in order, 2 (num_frames - 1) of them; without any,
    its middle frame alone is read.
    """
    if weights is None:
        weights = [0.0] * (2 * num_frames - 2)
        weights[2 * (num_frames // 2) - 1] = 1.0
    write_fake_bundle(folder, num_frames=num_frames)
    manifest = read_manifest(folder)
    changed = replace(
        manifest,
        frame_encoder=_frame_encoder(folder, manifest.visual),
        visual_encoder=_visual_encoder(folder, weights),
    )
    files = describe_files(folder, [graph.file for graph in changed.graphs.values()])
    (folder / MANIFEST_NAME).write_bytes(replace(changed, files=files).to_bytes())
    return folder


def _frame_encoder(folder: Path, visual: VisualSpec) -> GraphSpec:
    nodes = [
        node("Cast", ["pairs"], "values", to=TensorProto.FLOAT),
        node("ReduceMean", ["values"], "levels", axes=[2, 3, 4], keepdims=0),
        node("Unsqueeze", ["levels", "second_axis"], "features"),
    ]
    inputs = [TensorSpec("pairs", ["batch", 2, visual.img_size, visual.img_size, 3], "uint8")]
    outputs = [TensorSpec("features", ["batch", 1, 2], "float32")]
    return save_graph(folder, "frame_encoder", nodes, {"second_axis": np.array([1])}, inputs, outputs)


def _visual_encoder(folder: Path, weights: Sequence[float]) -> GraphSpec:
    """Read the weighted sum of the levels."""
    nodes = [
        node("Flatten", ["features"], "levels"),
        node("MatMul", ["levels", "weights"], "sums"),
        node("ReduceSum", ["sums", "last_axis"], "level", keepdims=0),
        *angle_nodes("level"),
    ]
    constants = angle_constants(offset=0.0, scale=255.0)
    constants["weights"] = np.array(weights, dtype=np.float32)[:, None]
    inputs = [TensorSpec("features", ["batch", len(weights) // 2, 1, 2], "float32")]
    return save_graph(folder, "visual_encoder", nodes, constants, inputs, embedding_outputs())
