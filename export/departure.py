"""Find the first layer, in the order of the graph, whose values depart from the model's.

A graph of lower precision is compared with the float32 graph by tensors of the same name. The float32 graph is compared
with the model itself, at the inputs and outputs of every linear layer and patch projection.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper
from torch import nn

from cavsync.export.parity import Inputs, run_plainly
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.model.pair_stem import PairStem
from cavsync.model.patch import ConvStem

Array = NDArray[Any]
SCOPES = "pkg.torch.onnx.name_scopes"
# Relative error of a tensor that counts as a departure: well above the rounding that has accumulated by then.
DEPARTED = {"fp32": 1e-3, "fp16": 5e-2, "bf16": 2e-1, "fp8": 5e-1, "int8": 5e-1}
WRAPPER = "model."


@dataclass(frozen=True)
class Departure:
    """A layer whose input (`is_input`) or output departs by `relative_error` of its range."""

    layer: str
    is_input: bool
    relative_error: float

    def __str__(self) -> str:
        if self.is_input:
            return (
                f"it departs before {self.layer}, whose input is off by {self.relative_error:.3g} of its range while "
                "every layer before it agrees"
            )
        return f"it departs in {self.layer}, whose output is off by {self.relative_error:.3g} of its range"


def departure_from_graph(reference: ModelProto, candidate: ModelProto, sample: Inputs, precision: str) -> str:
    """Compare every tensor that both graphs name, in the order of the reference."""
    names = _common_floats(reference, candidate)
    want, got = (_tensors(graph, names, sample) for graph in (reference, candidate))
    layers = {name: _layer(node) for node in reference.graph.node for name in node.output}
    for name in names:
        error = _relative(got[name], want[name])
        if not error <= DEPARTED[precision]:
            return str(Departure(layers[name], False, error))
    return "no layer departs on its own: the error grows over all of them"


def departure_from_model(graph_name: str, graph: ModelProto, model: AudioVisualEncoder, sample: Inputs) -> str:
    """Compare the graph with the model's own linear layers, in the order of the graph."""
    places = _layer_tensors(graph, model)
    names = list(dict.fromkeys(name for _, *pair in places for name in pair))
    got = _tensors(graph, names, sample)
    with _recorded(model) as want, torch.no_grad():
        run_plainly(graph_name, model, sample)
    for path, source, result in places:
        if path not in want:
            continue
        for name, wanted, is_input in ((source, want[path][0], True), (result, want[path][1], False)):
            error = _relative(got[name].reshape(wanted.shape), wanted) if got[name].size == wanted.size else np.inf
            if not error <= DEPARTED["fp32"]:
                return str(Departure(path, is_input, error))
    return "every linear layer agrees for the worst sample: it departs after the last of them"


def _layer_tensors(graph: ModelProto, model: AudioVisualEncoder) -> list[tuple[str, str, str]]:
    """(module, input tensor, output tensor) of the linear layers and patch projections found in the graph."""
    modules = {name for name, _ in _products(model)}
    weights = {tensor.name for tensor in graph.graph.initializer}
    found: dict[str, tuple[str, str]] = {}
    for node in graph.graph.node:
        path = _module(node)
        if path in modules:
            source = found[path][0] if path in found else next(name for name in node.input if name not in weights)
            found[path] = (source, node.output[0])
    return [(path, *pair) for path, pair in found.items()]


def _products(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Linear layers and patch projections, without convolutions of a stem: exporters fold norms into those."""
    stems = {id(layer) for stem in model.modules() if isinstance(stem, ConvStem | PairStem) for layer in stem.layers}
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and id(module) not in stems
    ]


@contextmanager
def _recorded(model: nn.Module) -> Iterator[dict[str, tuple[Array, Array]]]:
    """Record input and output of each linear layer while the block runs."""
    seen: dict[str, tuple[Array, Array]] = {}

    def record(path: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            seen[path] = (inputs[0].numpy().copy(), output.numpy().copy())

        return hook

    handles = [module.register_forward_hook(record(name)) for name, module in _products(model)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _common_floats(reference: ModelProto, candidate: ModelProto) -> list[str]:
    """Names of the float32 tensors that nodes of both graphs output, in the order of the reference."""
    both = {name for node in candidate.graph.node for name in node.output}
    typed = []
    for graph in (reference, candidate):
        bare = ModelProto()
        bare.CopyFrom(graph)
        del bare.graph.value_info[:]
        found = onnx.shape_inference.infer_shapes(bare).graph
        values = [*found.value_info, *found.output]
        typed.append({v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT})
    known = both & typed[0] & typed[1]
    return [name for node in reference.graph.node for name in node.output if name in known]


def _tensors(model: ModelProto, names: list[str], sample: Inputs) -> dict[str, Array]:
    """Compute the named float32 tensors of a graph for one sample."""
    copy = ModelProto()
    copy.CopyFrom(model)
    outputs = {value.name for value in copy.graph.output}
    copy.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in outputs
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Fusing layers would remove their inner tensors.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, dict(sample)), strict=True))


def _relative(got: Array, want: Array) -> float:
    if got.shape != want.shape:
        return float(np.inf)
    return float(np.abs(got.astype(np.float64) - want).max() / (np.abs(want).max() + 1e-12))


def _module(node: NodeProto) -> str:
    """Name of the model's module that a node comes from, empty outside of all modules."""
    text = next((item.value for item in node.metadata_props if item.key == SCOPES), "[]")
    scopes: list[str] = ast.literal_eval(text)
    return next((scope.removeprefix(WRAPPER) for scope in reversed(scopes[:-1]) if scope), "")


def _layer(node: NodeProto) -> str:
    return f"{_module(node) or 'preprocessing'} ({node.op_type})"
