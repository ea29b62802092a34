"""Rank layers by what 8 bits cost: each product is computed from exact inputs, in float32 and rounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cavsync.export.precision.int8 import products

Array = NDArray[Any]
LARGEST_WEIGHT = 127
LEVELS = 255
NUM_SAMPLES = 2
NUM_ROWS = 256


def most_sensitive(path: Path, samples: Array) -> list[str]:
    """Return the names of the products of a graph (`as_matmul`), the largest relative error first."""
    model = onnx.load(str(path))
    chosen = set(products(model))
    nodes = [node for node in model.graph.node if node.name in chosen]
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    inputs: dict[str, Array] = _inner(
        model, list(dict.fromkeys(node.input[0] for node in nodes)), samples[:NUM_SAMPLES]
    )
    errors = {node.name: _error(inputs[node.input[0]], numpy_helper.to_array(weights[node.input[1]])) for node in nodes}
    return sorted(errors, key=lambda name: -errors[name])


def _inner(model: onnx.ModelProto, names: list[str], samples: Array) -> dict[str, Array]:
    """Compute the named tensors of a graph for some samples."""
    outputs = {value.name for value in model.graph.output}
    added = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in outputs]
    model.graph.output.extend(added)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, {model.graph.input[0].name: samples}), strict=True))


def _error(values: Array, weight: Array) -> float:
    """Relative error of values (..., K) times weight (K, N) when both are rounded to 8 bits."""
    rows = values.reshape(-1, values.shape[-1])
    rows = rows[:: max(1, len(rows) // NUM_ROWS)]
    span = float(values.max(initial=0.0)) - float(values.min(initial=0.0))
    step = span / LEVELS or 1.0
    scale: Array = np.abs(weight).max(axis=0, keepdims=True).clip(min=1e-30) / LARGEST_WEIGHT
    exact = rows @ weight
    rounded = (np.rint(rows / step) * step) @ (np.rint(weight / scale) * scale)
    return float(np.linalg.norm(rounded - exact)) / max(float(np.linalg.norm(exact)), 1e-30)
