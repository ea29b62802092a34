"""Weights in fewer bits: what is stored is exact, small, and computes nearly what the model computed."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from small_models import TUBELETS, small_model
from torch import nn

from cavsync.deploy import Bundle
from cavsync.export import export_bundle
from cavsync.export.storage import Storage, round_weights, store_compactly
from cavsync.model.checkpoint import load_model, save_model


def written(path: Path, weights: dict[str, np.ndarray]) -> Path:
    """x @ w for each weight, as one graph."""
    nodes = [helper.make_node("MatMul", ["x", name], [f"y_{name}"]) for name in weights]
    outputs = [helper.make_tensor_value_info(f"y_{name}", TensorProto.FLOAT, [1, 64]) for name in weights]
    rows = next(iter(weights.values())).shape[0]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, rows])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


def test_only_what_is_exact_is_stored_in_fewer_bits(tmp_path: Path) -> None:
    """Half and 8-bit numbers are found, along either axis; other numbers and small tensors stay as they are."""
    random = np.random.default_rng(0)
    plain = random.normal(size=(64, 64)).astype(np.float32)
    whole = random.integers(-127, 128, size=(64, 64)).astype(np.float32)
    whole[0] = whole[:, 0] = 127
    weights = {
        "plain": plain,
        "half": plain.astype(np.float16).astype(np.float32),
        "columns": whole * random.uniform(0.01, 0.02, size=(1, 64)).astype(np.float32),
        "rows": whole * random.uniform(0.01, 0.02, size=(64, 1)).astype(np.float32),
        "zero": np.zeros((64, 64), np.float32),
    }
    path = written(tmp_path / "g.onnx", weights)
    x = random.normal(size=(1, 64)).astype(np.float32)
    before = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
    store_compactly(path)
    after = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5)
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(str(path)).graph.initializer}
    assert kinds["plain"] == TensorProto.FLOAT
    assert kinds["half.half"] == TensorProto.FLOAT16
    assert kinds["columns.int8"] == kinds["rows.int8"] == kinds["zero.int8"] == TensorProto.INT8


def test_rounding_is_to_the_nearest() -> None:
    """Against the definition: no weight moves by more than half a step of its output channel."""
    layer = nn.Sequential(nn.Linear(40, 50), nn.Conv2d(8, 16, 3))
    before = [layer[0].weight.detach().clone(), layer[1].weight.detach().clone()]
    round_weights(layer, "int8")
    step = before[0].abs().amax(dim=1, keepdim=True) / 127
    assert ((layer[0].weight - before[0]).abs() <= step * 0.5001).all()
    assert torch.equal(layer[1].weight, before[1].half().float())
    assert (layer[0].weight / step - (layer[0].weight / step).round()).abs().max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("storage", "share"), [("half", 0.65), ("int8", 0.5)])
def test_bundles_shrink_and_agree(storage: Storage, share: float, tmp_path: Path) -> None:
    """The bundle passes parity, is smaller, and its embeddings lie next to those of the model before rounding."""
    model = small_model(**{**TUBELETS, "embed_dim": 96})
    save_model(model, tmp_path / "run", 1)
    export_bundle(tmp_path / "run", tmp_path / "plain")
    export_bundle(tmp_path / "run", tmp_path / "small", storage=storage)
    sizes = [(tmp_path / name / "audio_encoder.onnx").stat().st_size for name in ("plain", "small")]
    # Part of a small graph is its nodes.
    assert sizes[1] < share * sizes[0]
    model = load_model(tmp_path / "run").eval()
    log_mel = np.random.default_rng(0).normal(-5, 4, (8, model.config.audio_length, 128)).astype(np.float32)
    plain, small = (Bundle.open(tmp_path / name).embed_audio(log_mel) for name in ("plain", "small"))
    assert (plain * small).sum(axis=1).min() > 0.999
