"""The bundle of `fake_bundle` with a visual encoder that fails on white frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from fake_bundle import write_fake_bundle
from meter_graphs import angle_constants, angle_nodes, embedding_outputs, node, save_graph
from onnx import TensorProto

from cavsync.manifest import MANIFEST_NAME, GraphSpec, TensorSpec, VisualSpec, describe_files, read_manifest

WHITE = 255


def write_failing_bundle(folder: Path) -> Path:
    """Write the bundle and return its folder."""
    write_fake_bundle(folder)
    manifest = read_manifest(folder)
    changed = replace(manifest, visual_encoder=_visual_encoder(folder, manifest.visual))
    files = describe_files(folder, [graph.file for graph in changed.graphs.values()])
    (folder / MANIFEST_NAME).write_bytes(replace(changed, files=files).to_bytes())
    return folder


def _visual_encoder(folder: Path, visual: VisualSpec) -> GraphSpec:
    """Look up the whole part of level / 255 in a table that has a place 0 alone."""
    nodes = [
        node("Gather", ["frames", "middle"], "frame", axis=1),
        node("Cast", ["frame"], "values", to=TensorProto.FLOAT),
        node("ReduceMean", ["values"], "measured", axes=[1, 2, 3], keepdims=0),
        node("Div", ["measured", "white"], "ratio"),
        node("Cast", ["ratio"], "place", to=TensorProto.INT64),
        node("Gather", ["table", "place"], "nothing", axis=0),
        node("Add", ["measured", "nothing"], "level"),
        *angle_nodes("level"),
    ]
    constants = {
        **angle_constants(offset=0.0, scale=255.0),
        "middle": np.array(visual.num_frames // 2),
        "white": np.array(WHITE, dtype=np.float32),
        "table": np.zeros(1, dtype=np.float32),
    }
    size = visual.img_size
    inputs = [TensorSpec("frames", ["batch", visual.num_frames, size, size, 3], "uint8")]
    return save_graph(folder, "visual_encoder", nodes, constants, inputs, embedding_outputs())
