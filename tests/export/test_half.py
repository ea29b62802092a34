"""Half precision: products alone, weights once, and the numbers that its roundings give."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from exported import PATCHES, exported, float32_graph
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from small_models import small_model

from cavsync.errors import ExportError
from cavsync.export.artefacts import DEFAULT_OPSET, OPSETS
from cavsync.export.graphs import stages, write_graph
from cavsync.export.parity import LIMITS
from cavsync.export.precision.half import HALF_TYPES, Half, in_half
from cavsync.export.runners import open_runner
from cavsync.manifest import ENCODERS

Array = NDArray[Any]
KINDS: tuple[Half, ...] = ("fp16", "bf16")
PRODUCTS = {"MatMul", "Gemm", "Conv"}
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16}


def opset(kind: str) -> int:
    return OPSETS.get(kind, DEFAULT_OPSET)


def source_graph(name: str, kind: str) -> ModelProto:
    return onnx.load(str(float32_graph(name, opset(kind))))


def types(model: ModelProto) -> dict[str, int]:
    """Element types of all tensors, as ONNX itself infers them."""
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    values = [*graph.input, *graph.output, *graph.value_info]
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


def inputs_of(name: str) -> Array:
    random = np.random.default_rng(3)
    if name == "audio_encoder":
        return random.normal(-5, 4, (3, 80, 128)).astype(np.float32)
    return random.integers(0, 256, (3, 3, 48, 48, 3), dtype=np.uint8)


def rounded_to_bf16(values: Array) -> Array:
    """To the nearest of 8 significant bits, ties to even, by the bits themselves."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).astype(np.uint64)
    kept = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return kept.astype(np.uint32).view(np.float32)


def product_graph(operator: str, weights: dict[str, Array], shape: list[Any], **attributes: Any) -> ModelProto:
    """One product from x to y."""
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in (("x", shape), ("y", None))
    ]
    node = helper.make_node(operator, ["x", *weights], ["y"], name="the_node", **attributes)
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph([node], "g", tensors[:1], tensors[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_only_products_compute_in_half(kind: Half, name: str) -> None:
    """Norms, softmax, activations, the residual stream and whatever else there is stay in float32."""
    source = source_graph(name, kind)
    model = in_half(source, kind)
    found = types(model)
    counts: Counter[str] = Counter()
    for node in model.graph.node:
        own = {found[item] for item in (*node.input, *node.output) if item and found[item] in FLOATS}
        if node.op_type in PRODUCTS:
            assert own == {HALF_TYPES[kind]}, node.name
        elif node.op_type != "Cast":
            assert own <= {TensorProto.FLOAT}, node.name
        counts[node.op_type] += 1
    # The opset of bf16 has GELU as one operator.
    expected = {"LayerNormalization", "Softmax", "Add", "Erf" if kind == "fp16" else "Gelu", *PRODUCTS}
    assert expected <= set(counts)
    before = Counter(node.op_type for node in source.graph.node)
    assert counts - Counter({"Cast": counts["Cast"]}) == before - Counter({"Cast": before["Cast"]})


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_keep_their_names_and_the_source_its_content(kind: Half, name: str) -> None:
    source = source_graph(name, kind)
    content = source.SerializeToString()
    model = in_half(source, kind)
    assert source.SerializeToString() == content
    assert list(model.graph.input) == list(source.graph.input)
    assert list(model.graph.output) == list(source.graph.output)
    given = {output for node in model.graph.node for output in node.output}
    assert given >= {output for node in source.graph.node for output in node.output}
    assert list(model.opset_import) == list(source.opset_import)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_stored_once_and_in_half(kind: Half, name: str) -> None:
    """Rounded as torch rounds them."""
    source = source_graph(name, kind)
    model = in_half(source, kind)
    torch_type = {"fp16": torch.float16, "bf16": torch.bfloat16}[kind]
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    assert len(stored) == len(model.graph.initializer)
    used = {item for node in model.graph.node for item in node.input}
    assert set(stored) <= used
    constants = {tensor.name for tensor in source.graph.initializer}
    weights = {item for node in source.graph.node if node.op_type in PRODUCTS for item in node.input} & constants
    assert len(weights) >= 10
    for tensor in source.graph.initializer:
        if tensor.name not in weights:
            assert stored[tensor.name] == tensor
            continue
        assert tensor.name not in stored
        half = stored[f"{tensor.name}.{kind}"]
        assert half.data_type == HALF_TYPES[kind]
        want = torch.from_numpy(numpy_helper.to_array(tensor).copy()).to(torch_type).float().numpy()
        np.testing.assert_array_equal(numpy_helper.to_array(half).astype(np.float32), want)
    size_bytes = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    assert size_bytes < 0.6 * sum(len(tensor.raw_data) for tensor in source.graph.initializer)


@pytest.mark.parametrize("kind", KINDS)
def test_what_products_share_is_made_once(kind: Half) -> None:
    """One weight and one input for two products; the weight is also added somewhere, and stays for that in float32."""
    model = product_graph("MatMul", {"w": np.eye(4, dtype=np.float32)}, ["batch", 4, 4])
    model.graph.node.append(helper.make_node("MatMul", ["x", "w"], ["z"], name="second"))
    model.graph.node.append(helper.make_node("Add", ["z", "w"], ["sum"], name="sum"))
    model.graph.output.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, None))
    made = in_half(model, kind)
    assert sorted(tensor.name for tensor in made.graph.initializer) == ["w", f"w.{kind}"]
    casts = [node for node in made.graph.node if node.op_type == "Cast" and node.input[0] == "x"]
    assert len(casts) == 1


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_onnx_accepts_them_in_the_opset_of_the_export(kind: Half, name: str) -> None:
    model = in_half(source_graph(name, kind), kind)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == opset(kind)


def test_bf16_convolutions_are_why_its_opset_is_newer() -> None:
    model = in_half(source_graph("audio_encoder", "fp16"), "bf16")
    with pytest.raises(onnx.shape_inference.InferenceError, match="bfloat16"):
        onnx.checker.check_model(model, full_check=True)


def test_weights_beyond_fp16_are_refused() -> None:
    """And only by fp16, and only beyond its last number."""
    weight = np.ones((4, 4), np.float32)
    weight[1, 2] = 65504
    graph = product_graph("MatMul", {"layer.weight": weight}, ["batch", 4])
    in_half(graph, "fp16")
    weight[1, 2] = -70000
    graph = product_graph("MatMul", {"layer.weight": weight}, ["batch", 4])
    in_half(graph, "bf16")
    with pytest.raises(ExportError) as caught:
        in_half(graph, "fp16")
    assert str(caught.value) == (
        "layer.weight holds values up to 7e+04, fp16 ends at 65504: use --precision bf16 or fp32"
    )


@pytest.mark.parametrize("operator", ["MatMul", "Gemm", "Conv"])
def test_bf16_on_the_cpu_rounds_operands_and_results(operator: str, tmp_path: Path) -> None:
    """Operands in [128, 256) are whole numbers in bf16, so that every order of summation gives the same exact sum."""
    random = np.random.default_rng(7)

    def numbers(*shape: int) -> Array:
        return (random.uniform(128, 255, shape) * random.choice([-1, 1], shape)).astype(np.float32)

    x, weight, bias = numbers(64, 32), numbers(32, 48), numbers(48)
    want = rounded_to_bf16(x).astype(np.float64) @ rounded_to_bf16(weight).astype(np.float64)
    if operator == "MatMul":
        graph = product_graph(operator, {"w": weight}, ["batch", 32])
    elif operator == "Gemm":
        graph = product_graph(operator, {"w": weight.T.copy(), "b": bias}, ["batch", 32], transB=1)
        want += rounded_to_bf16(bias)
    else:
        graph = product_graph(operator, {"w": weight.T[:, :, None, None].copy(), "b": bias}, ["batch", 32, 1, 1])
        want += rounded_to_bf16(bias)
        x = x[:, :, None, None]
    onnx.save(in_half(graph, "bf16"), str(tmp_path / "g.onnx"))
    (got,) = open_runner(tmp_path / "g.onnx", "onnxruntime", "bf16")(x)
    want = want.astype(np.float32).reshape(got.shape)
    np.testing.assert_array_equal(got, rounded_to_bf16(want))
    np.testing.assert_array_equal(got, torch.from_numpy(want).bfloat16().float().numpy())
    assert (got != want).mean() > 0.5


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_encoders_lose_what_roundings_cost(kind: Half, name: str, tmp_path: Path) -> None:
    """Something, or it would be float32; little, or it would be useless."""
    onnx.save(in_half(source_graph(name, kind), kind), str(tmp_path / "g.onnx"))
    values = inputs_of(name)
    got = open_runner(tmp_path / "g.onnx", "onnxruntime", kind)(values)
    want = open_runner(float32_graph(name, opset(kind)), "onnxruntime")(values)
    epsilon = {"fp16": 2**-11, "bf16": 2**-8}[kind]
    for ours, exact in zip(got, want, strict=True):
        error = np.linalg.norm(ours - exact) / np.linalg.norm(exact)
        assert epsilon / 10 < error < 8 * epsilon


def test_residual_streams_beyond_fp16_survive(tmp_path: Path) -> None:
    """Values of a hundred thousand, which fp16 has not, go from block to block."""
    model = small_model(**PATCHES).eval()
    with torch.no_grad():
        model.pos_embed_a.mul_(1e5)
    path = write_graph(stages(model)["audio_encoder"], tmp_path, {})
    onnx.save(in_half(onnx.load(str(path)), "fp16"), str(tmp_path / "half.onnx"))
    values = inputs_of("audio_encoder")
    streams: list[float] = []
    for name, block in model.named_modules():
        if name in ("blocks_a.0", "blocks_u.1"):
            block.register_forward_hook(lambda _, __, output: streams.append(float(output[0].abs().max())))
    with torch.no_grad():
        encoded = model.encode_audio((torch.from_numpy(values) + 5.081) / 4.4849)
    assert len(streams) == 2
    assert min(streams) > 9e4
    got = open_runner(tmp_path / "half.onnx", "onnxruntime")(values)
    wanted = torch.nn.functional.normalize(encoded.pooled).numpy(), encoded.patches.numpy()
    for ours, exact in zip(got, wanted, strict=True):
        assert np.abs(ours - exact).max() <= LIMITS["fp16"].relative_error * np.abs(exact).max()


@pytest.mark.parametrize("kind", KINDS)
def test_bundles_hold_them(kind: Half) -> None:
    """fp16 is the graph itself; bf16, which ONNX Runtime computes on GPUs alone, lies beside the float32 graph."""
    folder = exported(kind)
    for name in ENCODERS:
        file = f"{name}.onnx" if kind == "fp16" else f"{name}.bf16.onnx"
        stored = {tensor.data_type for tensor in onnx.load(str(folder / file)).graph.initializer}
        assert HALF_TYPES[kind] in stored
        if kind == "bf16":
            stored = {tensor.data_type for tensor in onnx.load(str(folder / f"{name}.onnx")).graph.initializer}
            assert not stored & set(HALF_TYPES.values())
