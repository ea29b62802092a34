"""A run with a tiny model that all export tests share, its graphs, a bundle, and a Triton repository of it."""

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from exported import float32_graph
from small_models import TUBELETS, small_model
from trt_graphs import write_precisions

from cavsync.export import export_bundle
from cavsync.export.graphs import GraphStage, stages
from cavsync.export.precision.int8 import as_matmul
from cavsync.export.triton_repository import write_triton_repository
from cavsync.export.trt import Library, find_library
from cavsync.manifest import ENCODERS
from cavsync.model.checkpoint import save_model


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with one checkpoint, random weights, no held-out clips."""
    folder = tmp_path_factory.mktemp("run")
    save_model(small_model(**TUBELETS), folder, 3, train={"preset": "test", "seed": 0})
    return folder


@pytest.fixture(scope="session")
def matmuls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The encoders as quantizers take them."""
    folder = tmp_path_factory.mktemp("matmuls")
    for name in ENCODERS:
        onnx.save(as_matmul(onnx.load(str(float32_graph(name)))), str(folder / f"{name}.onnx"))
    return {name: folder / f"{name}.onnx" for name in ENCODERS}


@pytest.fixture(scope="session")
def encoders() -> dict[str, GraphStage]:
    return stages(small_model(**TUBELETS))


@pytest.fixture(scope="session")
def graphs(encoders: dict[str, GraphStage], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    return {
        name: write_precisions(encoders[name], tmp_path_factory.mktemp(name))
        for name in ("audio_encoder", "visual_encoder")
    }


@pytest.fixture(scope="session")
def rtx() -> Library:
    return replace(find_library("rtx")[0], gpu=None)


@pytest.fixture(scope="session")
def bundle_dir(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uncalibrated bundle of the shared run."""
    out = tmp_path_factory.mktemp("out") / "bundle"
    export_bundle(run_dir, out, calibration_clips=[])
    return out


@pytest.fixture(scope="session")
def repository(bundle_dir: Path) -> Path:
    """The repository of that bundle, with small batches."""
    write_triton_repository(bundle_dir, bundle_dir.parent / "models", max_batch_size=6)
    return bundle_dir.parent / "models"
