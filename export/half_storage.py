"""Weights stored in half precision: files half as large, arithmetic in float32 as before.

The model's weights are rounded first and parity is checked against the rounded model, so what is stored is exact.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

# Smaller ones are not worth a node of their own.
MIN_ELEMENTS = 1024


@torch.no_grad()
def round_to_half(model: nn.Module) -> None:
    """Round every large floating-point parameter and buffer to the nearest half-precision number, in place."""
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point() and tensor.numel() >= MIN_ELEMENTS:
            tensor.copy_(tensor.half().to(tensor.dtype))


def store_in_half(path: Path) -> None:
    """Rewrite an ONNX file: large float32 constants that half precision holds exactly are stored so, and cast on load.

    What rounding would change stays in float32.
    """
    graph_model = onnx.load(str(path))
    graph = graph_model.graph
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor) if tensor.data_type == onnx.TensorProto.FLOAT else np.empty(0)
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        if values.size < MIN_ELEMENTS or not np.array_equal(halves.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(halves, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    # Casts come first: the nodes of a graph are in the order in which they can be computed.
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(graph_model)
    onnx.save(graph_model, str(path))
