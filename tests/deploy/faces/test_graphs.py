"""The converted graphs give what MediaPipe's models give in their own runtime, and changed files are refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest

from cavsync.deploy.faces.graphs import (
    FACE_GRAPHS,
    INDEX_NAME,
    FaceGraph,
    default_folder,
    default_graph,
    open_face_finder,
)
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.deploy.runtime.onnx import OnnxGraph
from cavsync.errors import BundleError
from cavsync.manifest import FileEntry, read_manifest

RECORDED = Path(__file__).with_name("litert.npz")


def seeded_images(size: int) -> np.ndarray:
    """The images on which the outputs of LiteRT were recorded (see models/make_face_graphs.py)."""
    found = []
    for seed in range(8):
        grain = 2 ** (seed % 5)
        shape = (-(-size // grain), -(-size // grain), 3)
        coarse = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        found.append(coarse.repeat(grain, axis=0).repeat(grain, axis=1)[:size, :size])
    return np.stack(found)


@pytest.mark.parametrize("graph", FACE_GRAPHS, ids=lambda graph: graph.file)
def test_outputs_are_those_of_the_original_runtime(graph: FaceGraph) -> None:
    entry = FileEntry(**json.loads((default_folder() / INDEX_NAME).read_text())["files"][graph.file])
    engine = OnnxGraph(default_graph(graph.file).parent, graph.spec, entry, providers=None, threads=1)
    found = engine.run(seeded_images(graph.input_size), graph.output)
    expected = np.load(RECORDED)[graph.file]
    found = found if found.ndim == 2 else found[:, ::16]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("graph", FACE_GRAPHS, ids=lambda graph: graph.file)
def test_feature_maps_stay_in_blocks_of_channels(graph: FaceGraph) -> None:
    """ONNX Runtime has kernels for blocks of 16 channels for all operations between the first and the last ones."""
    nodes = onnx.load(default_graph(graph.file))
    shapes = {constant.name: list(constant.dims) for constant in nodes.graph.initializer}
    # Half-precision constants are cast first.
    shapes |= {node.output[0]: shapes.get(node.input[0]) for node in nodes.graph.node if node.op_type == "Cast"}
    kernels = [shapes.get(node.input[1]) for node in nodes.graph.node if node.op_type == "Conv"]
    first, *others = [kernel for kernel in kernels if kernel]
    assert len(others) >= 36
    assert first[1] == 3
    assert not [kernel for kernel in others if kernel[0] % 16 or (kernel[1] != 1 and kernel[1] % 16)]
    assert not {"PRelu", "Pad"} & {node.op_type for node in nodes.graph.node}


def test_licence_and_notice_are_beside_the_graphs() -> None:
    folder = default_folder()
    assert "MediaPipe" in (folder / "NOTICE").read_text()
    assert "Apache License" in (folder / "LICENSE").read_text()


def test_the_packaged_bundle_has_the_same_graphs() -> None:
    """So a wheel, which has only those, opens the finder that training uses."""
    bundle = read_manifest(default_bundle())
    index = json.loads((default_folder() / INDEX_NAME).read_text())["files"]
    assert {graph.file: asdict(bundle.files[graph.file]) for graph in FACE_GRAPHS} == index


@pytest.mark.parametrize("damage", ["changed", "missing", "unlisted", "no index"])
def test_damaged_folders_are_refused_in_a_sentence(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    for path in (default_folder() / INDEX_NAME, *(default_graph(graph.file) for graph in FACE_GRAPHS)):
        shutil.copy(path, folder)
    graph = folder / FACE_GRAPHS[0].file
    if damage == "changed":
        graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    elif damage == "missing":
        graph.unlink()
    elif damage == "unlisted":
        (folder / INDEX_NAME).write_text(json.dumps({"files": {}}))
    else:
        (folder / INDEX_NAME).unlink()
    with pytest.raises(BundleError, match=r": \w+"):
        open_face_finder(folder)
