"""Store weights as float32, in half precision, or as 8-bit integers. Arithmetic stays float32.

The model's weights are rounded first, so the stored ones are exact and parity is checked against the rounded model. The
casts that restore them have constant inputs, so runtimes compute them once, when they load the graph.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

Storage = Literal["float32", "half", "int8"]

# Smaller tensors are not worth additional nodes.
MIN_ELEMENTS = 1024
LARGEST_INT8 = 127
# Largest difference of a stored weight, relative to the largest weight of its channel.
EXACT = 1e-6


@torch.no_grad()
def round_weights(model: nn.Module, storage: Storage) -> None:
    """Round the model in place: large tensors to half precision; with "int8" the matrices of linear layers to 8 bits,
    one scale per output channel."""
    if storage == "float32":
        return
    matrices = {id(module.weight) for module in model.modules() if isinstance(module, nn.Linear)}
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point() and tensor.numel() >= MIN_ELEMENTS:
            as_int8 = storage == "int8" and id(tensor) in matrices
            tensor.copy_(_rounded_to_int8(tensor) if as_int8 else tensor.half().to(tensor.dtype))


def _rounded_to_int8(matrix: Tensor) -> Tensor:
    scale = matrix.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / LARGEST_INT8
    return (matrix / scale).round() * scale


def store_compactly(path: Path) -> None:
    """Rewrite an ONNX file: store large float32 constants in fewer bits if that is exact, and restore them on load."""
    model = onnx.load(str(path))
    graph = model.graph
    restoring: list[NodeProto] = []
    stored: list[TensorProto] = []
    for tensor in graph.initializer:
        is_float = tensor.data_type == TensorProto.FLOAT
        values = numpy_helper.to_array(tensor) if is_float else np.empty(0, dtype=np.float32)
        tensors, nodes = _compact(tensor.name, values) if values.size >= MIN_ELEMENTS else ([tensor], [])
        stored += tensors or [tensor]
        restoring += nodes
    nodes = [*restoring, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(stored)
    # ONNX requires nodes in an order in which they can be computed.
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _compact(name: str, values: NDArray[np.float32]) -> tuple[list[TensorProto], list[NodeProto]]:
    """Return tensors in fewer bits and the nodes that restore `values`; empty lists if that would not be exact."""
    if values.ndim == 2:
        # The exporter stores linear layers with their output channels last or first.
        for axis in (0, 1):
            scale = np.abs(values).max(axis=axis, keepdims=True) / LARGEST_INT8
            whole = np.rint(np.divide(values, scale, out=np.zeros_like(values), where=scale > 0))
            if np.all(np.abs(whole * scale - values) <= EXACT * LARGEST_INT8 * scale):
                tensors = [
                    numpy_helper.from_array(whole.astype(np.int8), f"{name}.int8"),
                    numpy_helper.from_array(scale.astype(np.float32), f"{name}.scale"),
                ]
                cast = helper.make_node("Cast", [f"{name}.int8"], [f"{name}.whole"], to=TensorProto.FLOAT)
                return tensors, [cast, helper.make_node("Mul", [f"{name}.whole", f"{name}.scale"], [name])]
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    if not np.array_equal(halves.astype(np.float32), values):
        return [], []
    cast = helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT)
    return [numpy_helper.from_array(halves, f"{name}.half")], [cast]
