"""Preprocessing folded into the first convolution of the visual encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from cavsync.export.fold_frames import fold_frames
from cavsync.export.graphs import stages, write_graph
from cavsync.model import CAVMAESync
from cavsync.train import preset


def embeddings(path: Path, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(["embedding"], {"frames": clips})
    return np.asarray(found)


@pytest.mark.parametrize("conv_stem", [True, False])
def test_folded_graph_gives_the_same_embeddings(tmp_path: Path, conv_stem: bool) -> None:
    torch.manual_seed(0)
    changes = {"conv_stem": conv_stem, "pair_stem": False, "frame_differences": True}
    model = CAVMAESync(preset("sync-tiny")[0].model_copy(update=changes))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    path = write_graph(stages(model)["visual_encoder"], tmp_path, {"role": "visual_encoder"})
    random = np.random.default_rng(0)
    still = random.integers(0, 256, (3, 1, 64, 64, 3))
    # Differences of a few grey levels, as between neighbouring frames.
    clips = np.clip(still + random.integers(-2, 3, (3, 9, 64, 64, 3)), 0, 255).astype(np.uint8)
    before = embeddings(path, clips)
    fold_frames(path)
    assert np.abs(embeddings(path, clips) - before).max() < 2e-6
    nodes = onnx.load(str(path)).graph.node
    first = next(place for place, node in enumerate(nodes) if node.op_type == "Conv")
    assert {"Cast", "Transpose", "Reshape", "Pad"}.issuperset(
        node.op_type for node in nodes[:first] if "frames" in node.output[0]
    )
    assert not any(node.op_type in ("Sub", "Div", "Slice") for node in nodes[:first])
