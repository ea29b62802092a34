"""Layers that 8 bits would ruin are found and stay in float32; of what is good enough the fastest is taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from exported import inputs_of, needs_openvino
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cavsync.errors import ExportError
from cavsync.export.precision import candidates as candidates_module
from cavsync.export.precision.candidates import (
    GOAL,
    KEPT_LAYERS,
    METHODS,
    EncoderVariant,
    fastest,
    fastest_runtime,
    for_tensorrt,
    int8_candidates,
)
from cavsync.export.precision.int8 import products
from cavsync.export.precision.sensitivity import most_sensitive
from cavsync.export.runners import open_runner
from cavsync.manifest import ENCODERS

Array = NDArray[Any]
LAYERS = ("first", "second", "third")
WIDTH = 24
# Channel 0 of a layer with no weights for it is never more than zero.
BIAS = np.full(WIDTH, 0.1, np.float32)
BIAS[0] = -0.1


def layers_graph(path: Path, weights: dict[str, Array]) -> Path:
    """x (batch, 6, WIDTH) -> Gemm-like layers with ReLUs between them -> `embedding`, the mean over the middle axis."""
    nodes, value = [], "x"
    stored = [numpy_helper.from_array(BIAS, "bias")]
    for name, weight in weights.items():
        stored.append(numpy_helper.from_array(weight.astype(np.float32), f"{name}.weight"))
        nodes += [
            helper.make_node("MatMul", [value, f"{name}.weight"], [f"{name}.product"], name=name),
            helper.make_node("Add", [f"{name}.product", "bias"], [f"{name}.sum"], name=f"{name}/bias"),
            helper.make_node("Relu", [f"{name}.sum"], [f"{name}.out"], name=f"{name}/relu"),
        ]
        value = f"{name}.out"
    nodes.append(helper.make_node("ReduceMean", [value, "axis"], ["embedding"], name="mean", keepdims=0))
    stored.append(numpy_helper.from_array(np.array([1]), "axis"))
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 6, WIDTH]),
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", WIDTH]),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


def ordinary_weights(seed: int = 0) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    return {name: random.normal(0, 0.3, (WIDTH, WIDTH)) for name in LAYERS}


def ordinary_inputs(count: int = 8, seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(0, 1, (count, 6, WIDTH)).astype(np.float32)


def with_idle_outlier(layer: str) -> tuple[dict[str, Array], Array]:
    """Weights and inputs of which `layer` alone cannot be rounded: a channel that is always zero has huge weights.

    They change nothing in float32, and leave the others of their columns no levels.
    """
    weights, inputs = ordinary_weights(), ordinary_inputs()
    place = LAYERS.index(layer)
    if place:
        weights[LAYERS[place - 1]][:, 0] = 0
    else:
        inputs[..., 0] = 0
    weights[layer][0] = 1e3 * np.sign(weights[layer][0])
    return weights, inputs


def rounded_by_hand(values: Array, weight: Array) -> float:
    """Relative error of one product in 8 bits, number by number: what TensorRT, ONNX Runtime and OpenVINO all do."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    step = (high - low) / 255
    levels = np.clip(np.round(values.astype(np.float64) / step), round(low / step), round(high / step))
    rounded = np.zeros(weight.shape)
    for column in range(weight.shape[1]):
        scale = np.abs(weight[:, column]).max() / 127 or 1.0
        rounded[:, column] = np.clip(np.round(weight[:, column].astype(np.float64) / scale), -127, 127) * scale
    exact = values.astype(np.float64) @ weight.astype(np.float64)
    return float(np.linalg.norm(levels * step @ rounded - exact) / np.linalg.norm(exact))


def ranking_by_hand(weights: dict[str, Array], inputs: Array) -> list[str]:
    errors, values = {}, inputs.astype(np.float64)
    for name, weight in weights.items():
        errors[name] = rounded_by_hand(values, weight)
        values = np.maximum(values @ weight + BIAS, 0)
    return sorted(errors, key=lambda name: errors[name], reverse=True)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_layer_that_cannot_be_rounded_is_ranked_first(layer: str, tmp_path: Path) -> None:
    """An outlier of its weights that does nothing in float32; the ranking is that of a computation by hand."""
    weights, inputs = with_idle_outlier(layer)
    path = layers_graph(tmp_path / "g.onnx", weights)
    got = most_sensitive(path, inputs[:2])
    assert got[0] == layer
    assert got == ranking_by_hand(weights, inputs[:2])


@pytest.mark.parametrize("seed", range(4))
def test_rankings_of_ordinary_layers_are_those_by_hand(seed: int, tmp_path: Path) -> None:
    """Made of different sensitivity by an outlier of growing size among the activations."""
    weights, inputs = ordinary_weights(seed), ordinary_inputs(2, seed)
    inputs[:, :, 3] *= 40
    weights["first"][3] *= 0.01
    weights["second"][:, 5] *= 9
    path = layers_graph(tmp_path / "g.onnx", weights)
    assert most_sensitive(path, inputs) == ranking_by_hand(weights, inputs)


@pytest.mark.parametrize("name", ENCODERS)
def test_rankings_of_encoders_name_all_products(name: str, matmuls: dict[str, Path]) -> None:
    found = most_sensitive(matmuls[name], inputs_of(name))
    assert sorted(found) == sorted(products(onnx.load(str(matmuls[name]))))


def test_an_outlier_in_one_weight_of_an_encoder_is_found(matmuls: dict[str, Path], tmp_path: Path) -> None:
    """The norm before the layer gives nothing in one feature, for which the layer has huge weights."""
    model = onnx.load(str(matmuls["audio_encoder"]))
    (victim,) = [node for node in model.graph.node if node.output[0] == "linear_6" or "linear_6" in node.output[0]][:1]
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    (norm,) = [node for node in model.graph.node if victim.input[0] in node.output]
    assert norm.op_type == "LayerNormalization"
    for name in norm.input[1:]:
        values = numpy_helper.to_array(stored[name]).copy()
        values[0] = 0
        stored[name].CopyFrom(numpy_helper.from_array(values, name))
    weight = numpy_helper.to_array(stored[victim.input[1]]).copy()
    weight[0] = 1e3
    stored[victim.input[1]].CopyFrom(numpy_helper.from_array(weight, victim.input[1]))
    onnx.save(model, str(tmp_path / "g.onnx"))
    assert most_sensitive(tmp_path / "g.onnx", inputs_of("audio_encoder"))[0] == victim.name


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(method, id=method.name, marks=[needs_openvino] if method.runtime == "openvino" else [])
        for method in METHODS
    ],
)
def test_sensitive_layers_stay_in_float32_until_the_goal_is_met(
    method: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One layer of three cannot be rounded: two stay as they are, which is the next step, and it is one of them."""
    weights, inputs = with_idle_outlier("second")
    source = layers_graph(tmp_path / "source.onnx", weights)
    monkeypatch.setattr(candidates_module, "METHODS", (method,))
    (want,) = open_runner(source, "onnxruntime")(inputs)
    said: list[str] = []
    float32, found = int8_candidates(source, tmp_path, inputs, inputs, want, said.append)
    assert (float32.precision, float32.files) == ("fp32", (source,))
    assert found.float32_layers == tuple(ranking_by_hand(weights, inputs[:2])[: KEPT_LAYERS[1]])
    assert found.float32_layers[0] == "second"
    assert found.reaches_goal
    assert found.milliseconds > 0
    assert any("2 layers kept in float32" in line for line in said)
    monkeypatch.setattr(candidates_module, "KEPT_LAYERS", (0,))
    _, without = int8_candidates(source, tmp_path, inputs, inputs, want, said.append)
    assert without.float32_layers == ()
    assert not without.reaches_goal


def test_what_tensorrt_reads_keeps_them_too_or_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, inputs = with_idle_outlier("second")
    source = layers_graph(tmp_path / "source.onnx", weights)
    (want,) = open_runner(source, "onnxruntime")(inputs)
    found = for_tensorrt(source, tmp_path / "g.tensorrt.onnx", inputs, inputs, want)
    assert found.float32_layers[0] == "second"
    model = onnx.load(str(tmp_path / "g.tensorrt.onnx"))
    stored = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert TensorProto.UINT8 not in stored.values()
    for layer in LAYERS:
        name, kind = f"{layer}.weight", TensorProto.FLOAT
        if layer not in found.float32_layers:
            name, kind = f"{name}_quantized", TensorProto.INT8
        assert stored[name] == kind
    assert 0 < len(found.float32_layers) < len(LAYERS)
    monkeypatch.setattr(candidates_module, "KEPT_LAYERS", (0,))
    with pytest.raises(ExportError, match="is close enough to float32"):
        for_tensorrt(source, tmp_path / "g.tensorrt.onnx", inputs, inputs, want)


def made_up(runtime: str, milliseconds: float, cosine: float = 1.0, precision: str = "int8") -> EncoderVariant:
    name = f"{runtime} {precision} {milliseconds}"
    return EncoderVariant(name, runtime, precision, (Path("encoder.onnx"),), milliseconds, cosine, ())


def test_the_fastest_that_is_good_enough_is_taken() -> None:
    """Float32 is never a choice, however fast; ONNX Runtime's is what the bundle's graph becomes."""
    found = [
        made_up("onnxruntime", 0.1, precision="fp32"),
        made_up("onnxruntime", 1.0, GOAL - 1e-3),
        made_up("onnxruntime", 3.0, GOAL),
        made_up("onnxruntime", 4.0),
        made_up("openvino", 2.0),
        made_up("openvino", 1.5, 0.5),
    ]
    assert fastest(found).milliseconds == 2.0
    assert fastest(found, "onnxruntime").milliseconds == 3.0
    assert fastest(found, "openvino").milliseconds == 2.0
    with pytest.raises(ExportError, match=f"the best centred cosine is 0.5000, expected {GOAL}"):
        fastest([found[0], found[5]])


def test_the_runtime_is_the_one_whose_encoders_take_the_least_time_together() -> None:
    def encoders(*milliseconds: float, cosine: float = 1.0) -> dict[str, list[EncoderVariant]]:
        pairs = zip(ENCODERS, zip(milliseconds[::2], milliseconds[1::2], strict=True), strict=True)
        return {name: [made_up("onnxruntime", one), made_up("openvino", two, cosine)] for name, (one, two) in pairs}

    assert fastest_runtime(encoders(1.0, 2.0, 5.0, 3.0)) == "openvino"
    assert fastest_runtime(encoders(1.0, 2.0, 5.0, 4.5)) == "onnxruntime"
    # A runtime that lacks one encoder computes none.
    assert fastest_runtime(encoders(9.0, 1.0, 9.0, 1.0, cosine=0.5)) == "onnxruntime"
    alone = encoders(9.0, 1.0, 9.0, 1.0)
    alone["visual_encoder"] = [replace(item, centred_cosine=0.0) for item in alone["visual_encoder"]]
    with pytest.raises(ExportError):
        fastest_runtime(alone)
