"""The bundle of `fake_bundle` with a frame encoder: it measures the brightness of both frames of a pair."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from fake_bundle import write_fake_bundle
from meter_graphs import angle_constants, angle_nodes, embedding_outputs, node, save_graph
from onnx import TensorProto

from cavsync.manifest import MANIFEST_NAME, GraphSpec, TensorSpec, VisualSpec, describe_files, read_manifest


def write_pair_bundle(folder: Path) -> Path:
    """Write the bundle and return its folder."""
    write_fake_bundle(folder)
    manifest = read_manifest(folder)
    changed = replace(
        manifest,
        frame_encoder=_frame_encoder(folder, manifest.visual),
        visual_encoder=_visual_encoder(folder, manifest.visual.num_frames),
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


def _visual_encoder(folder: Path, num_frames: int) -> GraphSpec:
    """Read the level of the middle frame, the second one of its pair."""
    nodes = [
        node("Gather", ["features", "middle"], "pair", axis=1),
        node("Gather", ["pair", "later"], "later_level", axis=2),
        node("ReduceMean", ["later_level"], "level", axes=[1], keepdims=0),
        *angle_nodes("level"),
    ]
    constants = {
        **angle_constants(offset=0.0, scale=255.0),
        "middle": np.array(num_frames // 2 - 1),
        "later": np.array(1),
    }
    inputs = [TensorSpec("features", ["batch", num_frames - 1, 1, 2], "float32")]
    return save_graph(folder, "visual_encoder", nodes, constants, inputs, embedding_outputs())
