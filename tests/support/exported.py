"""One small run, exported in every precision once per test process: exports take seconds, and no test changes them."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_models import TUBELETS, small_model

from cavsync.export import artefacts, export_bundle
from cavsync.export.graphs import GraphStage, stages, write_graph
from cavsync.export.precision import openvino
from cavsync.model import CAVMAESync
from cavsync.model.checkpoint import load_model, save_model

PATCHES = {**TUBELETS, "conv_stem": False, "modality_specific_depth": 1, "depth": 3}
GAIN = 20.0


def lively_model() -> CAVMAESync:
    """Return a model of two joint blocks whose embeddings vary between samples as much as those of trained models.

    With initial weights all samples have nearly the same embedding, and only rounding distinguishes them.
    """
    model = small_model(**PATCHES).eval()
    with torch.no_grad():
        for embedding in (model.patch_embed_a, model.patch_embed_v):
            embedding.proj.weight.mul_(GAIN)
    return model


@cache
def scratch() -> Path:
    """Return a folder that is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="cavsync-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def lively_run() -> Path:
    """Return a run folder with one checkpoint of `lively_model`."""
    folder = scratch() / "lively"
    save_model(lively_model(), folder, 3, train={"preset": "test", "seed": 0})
    return folder


@cache
def float32_graph(name: str, opset: int = 18) -> Path:
    """Return a graph of the run as written by the exporter; copy it before changing it."""
    folder = scratch() / f"opset{opset}"
    folder.mkdir(exist_ok=True)
    return write_graph(stages(load_model(lively_run()).eval())[name], folder, {"role": name}, opset)


def remembered_graph(stage: GraphStage, folder: Path, metadata: dict[str, str], opset: int = 18) -> Path:
    """Copy the cached graph: a replacement for `write_graph`, for this run only."""
    return Path(shutil.copy(float32_graph(Path(stage.spec.file).stem, opset), folder))


@cache
def exported(precision: str) -> Path:
    """Return the run's bundle in `precision`, with parity on generated clips and no calibration."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(artefacts, "write_graph", remembered_graph)
        export_bundle(lively_run(), scratch() / precision, precision=precision, calibration_clips=[])
    return scratch() / precision


needs_openvino = pytest.mark.skipif(
    not openvino.is_installed(), reason="OpenVINO or NNCF is not installed: pip install 'cavsync[openvino]'"
)


def inputs_of(name: str, count: int = 3, seed: int = 3) -> NDArray[Any]:
    random = np.random.default_rng(seed)
    if name == "audio_encoder":
        return random.normal(-5, 4, (count, 80, 128)).astype(np.float32)
    return random.integers(0, 256, (count, 3, 48, 48, 3), dtype=np.uint8)
