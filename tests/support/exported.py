"""One small run exported in every precision, once per test process: exports take seconds, and nobody changes them."""

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
    """A model of two joint blocks whose embeddings differ much from sample to sample, as those of trained ones do.

    With the weights that models begin with, all samples are nearly the same, and rounding is all that sets them apart.
    """
    model = small_model(**PATCHES).eval()
    with torch.no_grad():
        for embedding in (model.patch_embed_a, model.patch_embed_v):
            embedding.proj.weight.mul_(GAIN)
    return model


@cache
def scratch() -> Path:
    """A folder that goes when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="cavsync-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def lively_run() -> Path:
    """A run folder with one checkpoint of `lively_model`."""
    folder = scratch() / "lively"
    save_model(lively_model(), folder, 3, train={"preset": "test", "seed": 0})
    return folder


@cache
def float32_graph(name: str, opset: int = 18) -> Path:
    """A graph of the run as the exporter writes it; copy it before changing it."""
    folder = scratch() / f"opset{opset}"
    folder.mkdir(exist_ok=True)
    return write_graph(stages(load_model(lively_run()).eval())[name], folder, {"role": name}, opset)


def remembered_graph(stage: GraphStage, folder: Path, metadata: dict[str, str], opset: int = 18) -> Path:
    """In the place of `write_graph`, for this run only."""
    return Path(shutil.copy(float32_graph(Path(stage.spec.file).stem, opset), folder))


@cache
def exported(precision: str) -> Path:
    """The run's bundle in `precision`, compared on generated clips, not calibrated."""
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
