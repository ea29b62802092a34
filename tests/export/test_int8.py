"""int8: which products are quantized and how, and what a bundle tells of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from exported import exported, float32_graph, inputs_of, lively_run, needs_openvino, remembered_graph
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from cavsync.errors import ExportError
from cavsync.export import artefacts, export_bundle
from cavsync.export.precision import candidates as candidates_module
from cavsync.export.precision import openvino
from cavsync.export.precision.candidates import GOAL, METHODS
from cavsync.export.precision.int8 import as_matmul, products, quantize_dynamically, quantize_statically
from cavsync.export.runners import open_runner
from cavsync.manifest import ENCODERS, read_manifest

Array = NDArray[Any]
# 7 bits with their sign: pairs of products with 8 overflow the 16 bits of older CPUs.
CPU_LEVELS = 64
GRAPH_METHODS = [method.name for method in METHODS if method.runtime == "onnxruntime"]


def constants(model: ModelProto) -> dict[str, Array]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@pytest.mark.parametrize("name", ENCODERS)
def test_products_of_gemms_give_the_same_numbers_and_names(name: str, matmuls: dict[str, Path]) -> None:
    source, made = onnx.load(str(float32_graph(name))), onnx.load(str(matmuls[name]))
    onnx.checker.check_model(made, full_check=True)
    assert "Gemm" in {node.op_type for node in source.graph.node}
    assert "Gemm" not in {node.op_type for node in made.graph.node}
    given = {output for node in source.graph.node for output in node.output}
    assert given <= {output for node in made.graph.node for output in node.output}
    names = [node.name for node in made.graph.node]
    assert len(set(names)) == len(names)
    assert {node.name for node in source.graph.node} <= set(names)
    values = inputs_of(name)
    pairs = zip(open_runner(float32_graph(name), "onnxruntime")(values),
                open_runner(matmuls[name], "onnxruntime")(values), strict=True)  # fmt: skip
    for ours, exact in pairs:
        np.testing.assert_allclose(ours, exact, atol=2e-5 * np.abs(exact).max())


@pytest.mark.parametrize("flags", [(1, 1), (1, 0), (0, 1), (0, 0)])
def test_gemms_may_share_a_weight(flags: tuple[int, int], tmp_path: Path) -> None:
    """Whichever of them turns it, with and without a bias."""
    weight, bias = np.random.default_rng(0).normal(0, 1, (5, 5)).astype(np.float32), np.arange(5, dtype=np.float32)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 5]) for name in ("x", "y")]
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], name="one", transB=flags[0]),
        helper.make_node("Gemm", ["h", "w"], ["y"], name="two", transB=flags[1]),
    ]
    stored = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(as_matmul(model), str(tmp_path / "g.onnx"))
    x = np.random.default_rng(1).normal(0, 1, (3, 5)).astype(np.float32)
    first, second = (weight.T if flag else weight for flag in flags)
    (got,) = open_runner(tmp_path / "g.onnx", "onnxruntime")(x)
    np.testing.assert_allclose(got, (x @ first + bias) @ second, rtol=1e-5, atol=1e-5)
    assert model.graph.node[0].op_type == "Gemm"


def check_weights(model: ModelProto, source: ModelProto, most: int) -> None:
    """Every int8 weight is the float32 one, rounded to as many levels of the largest of its column."""
    before, after = constants(source), constants(model)
    quantized = {node.input[1] for node in source.graph.node if node.name in set(products(source))}
    for name in quantized:
        assert name not in after
        levels, scale = after[f"{name}_quantized"], after[f"{name}_scale"]
        assert levels.dtype == np.int8
        assert scale.shape == (before[name].shape[1],)
        assert not np.any(after[f"{name}_zero_point"])
        largest = np.abs(before[name]).max(axis=0)
        assert np.abs(levels).max() == most
        np.testing.assert_allclose(scale, largest / most, rtol=0.02)
        assert np.all(np.abs(levels * scale - before[name]) <= 0.51 * scale)
    assert sum(value.dtype == np.int8 and value.ndim == 2 for value in after.values()) == len(quantized)


@pytest.mark.parametrize("name", ENCODERS)
def test_dynamic_graphs(name: str, matmuls: dict[str, Path], tmp_path: Path) -> None:
    """Products with constant weights and no others; one input at a time, whatever comes together with it."""
    target = tmp_path / "g.onnx"
    quantize_dynamically(matmuls[name], target, [])
    model, source = onnx.load(str(target)), onnx.load(str(matmuls[name]))
    kinds = [node.op_type for node in model.graph.node]
    attention = [node for node in source.graph.node if node.op_type == "MatMul" and node.name not in products(source)]
    assert kinds.count("MatMulInteger") == len(products(source)) == 8
    assert kinds.count("MatMul") == len(attention) == 4
    check_weights(model, source, CPU_LEVELS)
    session = onnxruntime.InferenceSession(str(target))
    values = inputs_of(name)
    assert session.get_inputs()[0].shape[0] == session.get_outputs()[0].shape[0] == 1
    with pytest.raises(Exception, match=r"(?i)invalid dimensions"):
        session.run(None, {session.get_inputs()[0].name: values})
    together = open_runner(target, "onnxruntime")(values)
    for place in range(len(values)):
        alone = session.run(None, {session.get_inputs()[0].name: values[place : place + 1]})
        for found, want in zip(together, alone, strict=True):
            np.testing.assert_array_equal(found[place], want[0])


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("name", ENCODERS)
def test_static_graphs(name: str, symmetric: bool, matmuls: dict[str, Path], tmp_path: Path) -> None:
    """Q/DQ pairs around products with constant weights; any batch gives the same; TensorRT's are symmetric."""
    target = tmp_path / "g.onnx"
    kept = products(onnx.load(str(matmuls[name])))[1]
    quantize_statically(matmuls[name], target, inputs_of(name), [], symmetric=symmetric)
    model, source = onnx.load(str(target)), onnx.load(str(matmuls[name]))
    onnx.checker.check_model(model)
    check_weights(model, source, 127 if symmetric else CPU_LEVELS)
    giver = {output: node for node in model.graph.node for output in node.output}
    stored = constants(model)
    quantized = set(products(source))
    for node in model.graph.node:
        if node.op_type != "MatMul":
            continue
        kinds = [getattr(giver.get(item), "op_type", "") for item in node.input]
        assert (kinds == ["DequantizeLinear"] * 2) == (node.name in quantized), node.name
        if node.name in quantized:
            zero = stored[giver[node.input[0]].input[2]]
            assert zero.dtype == (np.int8 if symmetric else np.uint8)
            assert zero == 0 or not symmetric
    values, run = inputs_of(name, 5), open_runner(target, "onnxruntime")
    together = run(values)
    assert len(together[0]) == 5
    for place in range(5):
        for found, alone in zip(together, run(values[place : place + 1]), strict=True):
            np.testing.assert_allclose(found[place], alone[0], atol=1e-6 * np.abs(found).max())
    quantize_statically(matmuls[name], target, inputs_of(name), [kept], symmetric=symmetric)
    (node,) = [node for node in onnx.load(str(target)).graph.node if node.name == kept]
    assert node.input[1] in constants(onnx.load(str(target)))


def int8_weights(model: Any) -> Iterator[tuple[Array, Array]]:
    """Constants (K, N) or (N, K) of -127..127 of an OpenVINO model, with the scales that they are multiplied by."""
    for product in model.get_ops():
        if product.get_type_name() != "Multiply":
            continue
        first, second = (product.input_value(place).get_node() for place in (0, 1))
        if first.get_type_name() == "Convert" and second.get_type_name() == "Constant":
            stored = first.input_value(0).get_node()
            is_matrix = stored.get_type_name() == "Constant" and len(stored.shape) == 2
            if is_matrix and stored.get_element_type().get_type_name() == "i8":
                yield stored.data.astype(np.float32), second.data.astype(np.float32)


def is_rounded(got: Array, exact: Array, scale: Array) -> bool:
    return got.shape == exact.shape and bool(np.all(np.abs(got - exact) <= 0.51 * scale))


@needs_openvino
def test_openvino_graphs(matmuls: dict[str, Path], tmp_path: Path) -> None:
    """int8 weights, symmetric with a scale per column; what is excluded stays; batches change nothing."""
    from cavsync.deploy.runtime.openvino_library import openvino_core

    source = onnx.load(str(matmuls["audio_encoder"]))
    names = products(source)
    target = tmp_path / "g.openvino.xml"
    kept = set(names[2:4])
    openvino.quantize(matmuls["audio_encoder"], target, inputs_of("audio_encoder"), sorted(kept))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.openvino.bin", "g.openvino.xml"]
    model = openvino_core().read_model(str(target))
    before = constants(source)
    expected = [before[node.input[1]] for node in source.graph.node if node.name in set(names) - kept]
    found = list(int8_weights(model))
    assert len(found) == len(expected) == len(names) - 2
    for levels, scale in found:
        turned = [value.T for value in expected]
        (exact,) = [value for value in (*expected, *turned) if is_rounded(levels * scale, value, scale)]
        exact = exact if scale.shape[0] == 1 else exact.T
        assert scale.size == exact.shape[1]
        assert np.abs(levels).max() <= CPU_LEVELS
        np.testing.assert_allclose((scale * CPU_LEVELS).ravel(), np.abs(exact).max(axis=0), rtol=0.02)
    values, run = inputs_of("audio_encoder", 4), open_runner(target, "openvino")
    together = run(values)
    want = open_runner(matmuls["audio_encoder"], "onnxruntime")(values)
    for place in range(4):
        for found, alone in zip(together, run(values[place : place + 1]), strict=True):
            np.testing.assert_allclose(found[place], alone[0], atol=1e-5 * np.abs(found).max())
    rows = zip(together[0], want[0], strict=True)
    assert min(float(ours @ exact / np.linalg.norm(ours)) for ours, exact in rows) > 0.99


def test_goals_out_of_reach_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates_module, "GOAL", 1.5)
    monkeypatch.setattr(artefacts, "write_graph", remembered_graph)
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    said: list[str] = []
    with pytest.raises(ExportError) as caught:
        export_bundle(lively_run(), tmp_path / "bundle", precision="int8", calibration_clips=[], on_stage=said.append)
    assert list(tmp_path.iterdir()) == []
    sentence = str(caught.value)
    assert sentence.startswith("no int8 form of audio_encoder is close enough to float32: the best centred cosine ")
    assert sentence.endswith("expected 1.5; use another --precision, or calibrate on clips like those to be scored")
    assert any(line.strip() == "OpenVINO and NNCF are not installed: left out" for line in said)
    assert any("ONNX Runtime, static int8" in line and "8 layers kept in float32" in line for line in said)


@pytest.mark.parametrize("precision", ["int8", "auto"])
def test_bundles_record_what_was_tried(precision: str) -> None:
    """Every way with its figures, in a table of its own and on the card; parity of everything that is kept."""
    folder = exported(precision)
    manifest = read_manifest(folder)
    table = json.loads((folder / "int8_candidates.json").read_text())
    card = (folder / "MODEL_CARD.md").read_text()
    parity = json.loads((folder / "parity.json").read_text())
    assert manifest.precision == "int8"
    assert parity["limits"]["int8"]["centred_cosine"] == GOAL
    assert {"int8_candidates.json", "MODEL_CARD.md", "parity.json"} <= set(manifest.files)
    assert list(table) == list(ENCODERS)
    compared = [row["artefact"] for row in parity["outputs"]]
    assert all(row["passed"] for row in parity["outputs"])
    runtimes = set()
    for name, rows in table.items():
        ways = [method.name for method in METHODS if method.runtime != "openvino" or openvino.is_installed()]
        assert [row["name"] for row in rows] == ["ONNX Runtime, float32", *ways]
        (chosen,) = [row for row in rows if row["chosen"]]
        runtimes.add(chosen["runtime"])
        rivals = [row for row in rows if row["precision"] == "int8" and row["runtime"] == chosen["runtime"]]
        assert chosen["milliseconds"] == min(row["milliseconds"] for row in rivals)
        portable = {
            row["name"] for row in rows
            if row["size_bytes"] == manifest.files[f"{name}.onnx"].size_bytes
        }  # fmt: skip
        assert portable <= set(ways)
        assert portable
        assert compared.count(f"{name}, float32") == 2
        for row in rows:
            assert f"| {name} | {row['name']} | {row['milliseconds']:.1f} |" in card
            # Of int8 for ONNX Runtime there is one, the graph itself.
            is_beside = row["chosen"] or (precision == "auto" and row["name"] not in GRAPH_METHODS)
            assert compared.count(f"{name}, {row['name']}") == 2 * (is_beside or row["name"] in portable)
    assert len(runtimes) == 1
    beside = {(engine.graph, engine.runtime, engine.precision) for engine in manifest.engines}
    if precision == "auto":
        assert {(name, "onnxruntime", "fp32") for name in ENCODERS} <= beside
        assert not openvino.is_installed() or {(name, "openvino", "int8") for name in ENCODERS} <= beside
    else:
        assert {runtime for _, runtime, _ in beside} <= {"openvino"}
