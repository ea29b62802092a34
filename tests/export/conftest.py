"""A run with a tiny model that all export tests share."""

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from exported import float32_graph
from small_models import TUBELETS, small_model

from cavsync.export.precision.int8 import as_matmul
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
def rtx() -> Library:
    """TensorRT-RTX on a machine without a GPU."""
    return replace(find_library("rtx")[0], gpu=None)
