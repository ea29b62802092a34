"""Quantize graphs by ONNX Runtime's quantizer: matrix products only, one scale per output channel of the weights.

Weights for CPUs have 7 bits: CPUs without VNNI add pairs of products in 16 bits, which 8-bit weights overflow, and the
exporting machine may not show it. This costs 0.0001 of centred cosine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from cavsync.export.quiet import quiet

Array = NDArray[Any]
QUANTIZED = ["MatMul"]


def as_matmul(model: ModelProto) -> ModelProto:
    """Return a copy whose Gemms with constant weights are MatMul and Add under the same names, as quantizers need."""
    copy = ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    transposed: dict[str, TensorProto] = {}
    for node in graph.node:
        if node.op_type != "Gemm" or node.input[1] not in weights:
            nodes.append(node)
            continue
        facts = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        assert facts.get("alpha", 1.0) == facts.get("beta", 1.0) == 1.0
        assert not facts.get("transA", 0)
        weight = node.input[1]
        if facts.get("transB", 0):
            # Under a new name, because layers may share a weight and not all of them transpose it.
            weight = f"{weight}.turned"
            transposed.setdefault(weight, _transposed(weights[node.input[1]], weight))
        has_bias = len(node.input) == 3
        product = f"{node.output[0]}.product" if has_bias else node.output[0]
        nodes.append(helper.make_node("MatMul", [node.input[0], weight], [product], name=node.name))
        if has_bias:
            nodes.append(helper.make_node("Add", [product, node.input[2]], [node.output[0]], name=f"{node.name}/bias"))
        nodes[-1].metadata_props.extend(node.metadata_props)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*kept, *transposed.values()])
    return copy


def _transposed(tensor: TensorProto, name: str) -> TensorProto:
    return numpy_helper.from_array(numpy_helper.to_array(tensor).T.copy(), name)


def products(model: ModelProto) -> list[str]:
    """Names of the products with constant weights, which are the ones that are quantized."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [node.name for node in model.graph.node if node.op_type in QUANTIZED and node.input[1] in weights]


def quantize_dynamically(source: Path, target: Path, exclude: Sequence[str]) -> None:
    """Quantize with activations scaled by their range in each call.

    Results would depend on the batch, so the graph takes one input at a time.
    """
    with quiet():
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=QUANTIZED,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(exclude),
            extra_options={"MatMulConstBOnly": True},
        )
    model = onnx.load(str(target))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, str(target))


def quantize_statically(
    source: Path, target: Path, samples: Array, exclude: Sequence[str], *, symmetric: bool = False
) -> None:
    """Quantize by Q/DQ pairs with activations scaled by their ranges over `samples` (N, ...); TensorRT needs
    `symmetric`."""
    _by_pairs(
        source,
        target,
        samples,
        exclude,
        per_channel=True,
        reduce_range=not symmetric,
        activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": True, "MatMulConstBOnly": True},
    )


def quantize_to_fp8(source: Path, target: Path, samples: Array, exclude: Sequence[str]) -> None:
    """Quantize to 8-bit floating point (E4M3), for TensorRT on GPUs of compute capability 89 and later."""
    _by_pairs(
        source,
        target,
        samples,
        exclude,
        activation_type=QuantType.QFLOAT8E4M3FN,
        weight_type=QuantType.QFLOAT8E4M3FN,
        # The only method that the quantizer has for this type.
        calibrate_method=CalibrationMethod.Distribution,
    )


def _by_pairs(source: Path, target: Path, samples: Array, exclude: Sequence[str], **how: Any) -> None:
    """Put Q/DQ pairs around the products with constant weights; `how` goes to the quantizer."""
    model = onnx.load(str(source))
    constant = set(products(model))
    # Products of two activations, as in attention, stay in float32.
    others = [node.name for node in model.graph.node if node.op_type in QUANTIZED and node.name not in constant]
    with quiet():
        quantize_static(
            source,
            target,
            _Reader(model.graph.input[0].name, samples),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTIZED,
            nodes_to_exclude=[*exclude, *others],
            **how,
        )


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Gives the quantizer one sample at a time."""

    def __init__(self, name: str, samples: Array) -> None:
        self._feeds: Iterator[dict[str, Array]] = iter({name: sample[np.newaxis]} for sample in samples)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._feeds, None)
