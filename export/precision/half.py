"""fp16 and bf16 graphs: matrix products in half precision; norms, softmax and the residual stream in float32.

The graph itself states the precision, so strongly typed runtimes need no flags, and sums of squares or exponentials
cannot overflow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from cavsync.errors import ExportError

Half = Literal["fp16", "bf16"]
PRODUCTS = ("MatMul", "Gemm", "Conv")
HALF_TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
LARGEST_FP16 = float(np.finfo(np.float16).max)


def in_half(model: ModelProto, kind: Half, operations: tuple[str, ...] = PRODUCTS) -> ModelProto:
    """Return a copy of a float32 graph whose `operations` compute in half precision, between casts; names stay.

    Raises:
        ExportError: a weight is too large for half precision.
    """
    return _Halved(model, kind, operations).model


class _Halved:
    """Builds the copy; weights and casts that several products share are made once."""

    def __init__(self, source: ModelProto, kind: Half, operations: tuple[str, ...]) -> None:
        self.kind, self.dtype = kind, HALF_TYPES[kind]
        self.weights = {tensor.name: tensor for tensor in source.graph.initializer}
        self.halves: dict[str, TensorProto] = {}
        self.cast: set[str] = set()
        nodes: list[NodeProto] = []
        for node in source.graph.node:
            nodes += self._product(node) if node.op_type in operations else [node]
        used = {name for node in nodes for name in node.input}
        self.model = ModelProto()
        self.model.CopyFrom(source)
        graph = self.model.graph
        kept = [tensor for tensor in graph.initializer if tensor.name in used]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(nodes)
        graph.initializer.extend([*kept, *self.halves.values()])

    def _product(self, node: NodeProto) -> Iterator[NodeProto]:
        product = NodeProto()
        product.CopyFrom(node)
        for position, name in enumerate(node.input):
            if not name:
                continue
            half = f"{name}.{self.kind}"
            product.input[position] = half
            if name in self.weights:
                self.halves.setdefault(half, self._halved(self.weights[name], half))
            elif half not in self.cast:
                self.cast.add(half)
                yield helper.make_node("Cast", [name], [half], name=f"{half}/cast", to=self.dtype)
        name = node.output[0]
        product.output[0] = f"{name}.in_{self.kind}"
        yield product
        restored = helper.make_node("Cast", list(product.output), [name], name=f"{name}/cast", to=TensorProto.FLOAT)
        restored.metadata_props.extend(node.metadata_props)
        yield restored

    def _halved(self, tensor: TensorProto, name: str) -> TensorProto:
        values = numpy_helper.to_array(tensor)
        if self.kind == "fp16" and np.abs(values).max(initial=0.0) > LARGEST_FP16:
            raise ExportError(
                f"{tensor.name} holds values up to {np.abs(values).max():.3g}, fp16 ends at {LARGEST_FP16:.0f}: "
                "use --precision bf16 or fp32"
            )
        return numpy_helper.from_array(values.astype(helper.tensor_dtype_to_np_dtype(self.dtype)), name)


def on_cpu(model: ModelProto) -> ModelProto:
    """Return a graph that computes the same numbers in float32: operands and results of the products are rounded.

    No CPU provider has bf16 products, and those with fp16 compute them in float32, where overflows go unnoticed.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    halves = {TensorProto.FLOAT16, TensorProto.BFLOAT16}
    for tensor in graph.initializer:
        if tensor.data_type in halves:
            exact = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(exact, tensor.name))
    nodes: list[NodeProto] = []
    for node in graph.node:
        kind = next((kind for kind in HALF_TYPES if node.output[0].endswith(f".in_{kind}")), None)
        target = helper.get_node_attr_value(node, "to") if node.op_type == "Cast" else None
        if target in halves:
            nodes += _rounded(node.input[0], node.output[0], target)
        elif kind is not None:
            name = node.output[0]
            node.output[0] = f"{name}.exact"
            nodes += [node, *_rounded(f"{name}.exact", name, HALF_TYPES[kind])]
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return copy


def _rounded(source: str, target: str, dtype: int) -> list[NodeProto]:
    """float32 -> half precision -> float32; infinity beyond fp16's range."""
    return [
        helper.make_node("Cast", [source], [f"{target}.rounded"], to=dtype),
        helper.make_node("Cast", [f"{target}.rounded"], [target], to=TensorProto.FLOAT),
    ]
