"""The graphs of the face finder: their files, their interfaces, and opening them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cavsync.deploy.faces.detector import FULL_RANGE, SHORT_RANGE, AnchorGrid, FaceDetector
from cavsync.deploy.faces.mesh import MESH_SIZE, FaceMesh
from cavsync.deploy.faces.tracks import FaceFinder
from cavsync.deploy.runtime.default_bundle import default_bundle, packaged
from cavsync.deploy.runtime.engines import Engine
from cavsync.deploy.runtime.face_engines import FaceEngines
from cavsync.deploy.runtime.onnx import OnnxGraph
from cavsync.errors import BundleError
from cavsync.manifest import FileEntry, GraphSpec, TensorSpec
from cavsync.media.face import NUM_POINTS
from cavsync.records import Record, UnfitError, parse

INDEX_NAME = "graphs.json"


@dataclass(frozen=True)
class FaceIndex(Record):
    """Content of graphs.json: the graphs with their hashes, the wheel they come from, and the file of each in it."""

    files: dict[str, FileEntry]
    wheel: str
    wheel_sha256: str
    sources: dict[str, dict[str, str | float]]


@dataclass(frozen=True)
class FaceGraph:
    """A graph of the face finder: its file, its square input of `input_size` pixels, and the shape of its output."""

    file: str
    input_size: int
    output: str
    shape: tuple[int, ...]

    @property
    def spec(self) -> GraphSpec:
        """The graph's interface."""
        image = TensorSpec("image", ["batch", self.input_size, self.input_size, 3], "uint8")
        return GraphSpec(self.file, [image], [TensorSpec(self.output, ["batch", *self.shape], "float32")])


def detector_graph(file: str, anchors: AnchorGrid) -> FaceGraph:
    """Return the interface of a detector: 17 numbers for each anchor."""
    return FaceGraph(file, anchors.input_size, "faces", (len(anchors.centres()), 17))


SHORT_RANGE_GRAPH = detector_graph("face_detector_short_range.onnx", SHORT_RANGE)
FULL_RANGE_GRAPH = detector_graph("face_detector_full_range.onnx", FULL_RANGE)
MESH_GRAPH = FaceGraph("face_mesh.onnx", MESH_SIZE, "points", (3 * NUM_POINTS + 1,))
FACE_GRAPHS = (SHORT_RANGE_GRAPH, FULL_RANGE_GRAPH, MESH_GRAPH)


def default_folder() -> Path:
    """Return the folder of the face graphs that come with the package.

    Raises:
        BundleError: it is missing.
    """
    folder = packaged("faces")
    if not (folder / INDEX_NAME).is_file():
        raise BundleError("this installation has no face graphs: install cavsync from a wheel, or run make face-graphs")
    return folder


def default_graph(file: str) -> Path:
    """Return the path of a face graph that comes with the package; a wheel has it in the packaged bundle only."""
    path = default_folder() / file
    return path if path.is_file() else default_bundle() / file


def open_face_finder(folder: Path | None = None, *, threads: int | None = 1) -> FaceFinder:
    """Open the face graphs in `folder` (by default those of the package) and make a finder for one stream.

    The hash of every file is checked first. Graphs hold no state of a stream, but a finder does.

    Raises:
        BundleError: a file is missing or differs from the index.
    """
    index_folder = default_folder() if folder is None else folder
    try:
        index = parse(FaceIndex, (index_folder / INDEX_NAME).read_bytes())
        entries = {graph.file: index.files[graph.file] for graph in FACE_GRAPHS}
    except (OSError, UnfitError, KeyError) as error:
        raise BundleError(
            f"{index_folder / INDEX_NAME} does not list the face graphs ({error}): run make face-graphs"
        ) from None

    def opened(graph: FaceGraph) -> Engine:
        where = default_graph(graph.file).parent if folder is None else folder
        return OnnxGraph(where, graph.spec, entries[graph.file], providers=None, threads=threads)

    return _finder(opened(SHORT_RANGE_GRAPH), opened(FULL_RANGE_GRAPH), opened(MESH_GRAPH))


def bundle_face_finder(engines: FaceEngines) -> FaceFinder:
    """Make a finder for one stream from the face graphs of an opened bundle."""
    return _finder(engines.short_range, engines.full_range, engines.mesh)


def _finder(short_range: Engine, full_range: Engine, mesh: Engine) -> FaceFinder:
    return FaceFinder([FaceDetector(short_range, SHORT_RANGE), FaceDetector(full_range, FULL_RANGE)], FaceMesh(mesh))
