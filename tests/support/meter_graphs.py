"""Small ONNX graphs made by hand, and embeddings that are angles."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cavsync.manifest import GraphSpec, TensorSpec

DIM = 2
TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}


def angle_nodes(level: str) -> list[Any]:
    """Map (B,) levels to (B, 2): cosine and sine of pi * clip((level - offset) / scale, 0, 1)."""
    return [
        node("Sub", [level, "offset"], "above"),
        node("Div", ["above", "scale"], "share"),
        node("Clip", ["share", "zero", "one"], "clipped"),
        node("Mul", ["clipped", "pi"], "flat_angle"),
        node("Unsqueeze", ["flat_angle", "last_axis"], "angle"),
        node("Cos", ["angle"], "cosine"),
        node("Sin", ["angle"], "sine"),
        node("Concat", ["cosine", "sine"], "embedding", axis=1),
        node("Unsqueeze", ["embedding", "last_axis"], "patches"),
    ]


def angle_constants(offset: float, scale: float) -> dict[str, Any]:
    scalars = {"offset": offset, "scale": scale, "zero": 0.0, "one": 1.0, "pi": math.pi}
    return {**{name: np.array(value, dtype=np.float32) for name, value in scalars.items()}, "last_axis": np.array([1])}


def embedding_outputs() -> list[TensorSpec]:
    return [
        TensorSpec("embedding", ["batch", DIM], "float32"),
        TensorSpec("patches", ["batch", 1, DIM], "float32"),
    ]


def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs, [output], **attributes)


def save_graph(
    folder: Path,
    name: str,
    nodes: list[Any],
    constants: dict[str, Any],
    inputs: list[TensorSpec],
    outputs: list[TensorSpec],
) -> GraphSpec:
    def infos(specs: list[TensorSpec]) -> list[Any]:
        return [helper.make_tensor_value_info(spec.name, TYPES[spec.dtype], spec.shape) for spec in specs]

    stored = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, name, infos(inputs), infos(outputs), initializer=stored)
    # In opset 13 ReduceMean takes its axes as an attribute and Unsqueeze as an input; both change later.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    return GraphSpec(file=f"{name}.onnx", inputs=inputs, outputs=outputs)
