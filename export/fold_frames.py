"""Fold what precedes the first convolution of a visual encoder into its weights, in a float32 ONNX graph.

Normalised frames, the middle one and the differences between neighbours are an affine function of the bytes at the same
place, and so is a convolution of them. Folded, the bytes are only cast and reordered. The constant part becomes the
weight of one more channel that is 1 inside the frame, so that the zeros that pad the convolution stay what they were.
A graph of fewer bits would lose the differences in the rounding of large values: fold nothing there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

WHITE = 255


def fold_frames(path: Path) -> None:
    """Rewrite the ONNX file of a visual encoder whose first convolution sees an affine function of the channels of all
    frames, place by place (see `embedded_frames`)."""
    model = onnx.load(str(path))
    graph = model.graph
    first = next(node for node in graph.node if node.op_type == "Conv")
    frames = graph.input[0]
    _, num_frames, height, width, channels = (size.dim_value for size in frames.type.tensor_type.shape.dim)
    shape = (num_frames, height, width, channels)
    gains, shifts, weight = _preprocessing(model, first, shape)
    folded = np.einsum("ocij,ck->okij", weight, gains)
    constant = np.einsum("ocij,c->oij", weight, shifts)[:, None]
    tensors = {
        "frames.weight": np.concatenate([folded, constant], axis=1).astype(np.float32),
        "frames.shape": np.array([0, num_frames * channels, height, width]),
        "frames.pads": np.array([0, 0, 0, 0, 0, 1, 0, 0]),
        "frames.one": np.float32(1),
    }
    nodes = [
        # Cast first: TensorRT has no other operation on bytes.
        helper.make_node("Cast", [frames.name], ["frames.float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["frames.float"], ["frames.planes"], perm=[0, 1, 4, 2, 3]),
        helper.make_node("Reshape", ["frames.planes", "frames.shape"], ["frames.image"]),
        helper.make_node("Pad", ["frames.image", "frames.pads", "frames.one"], ["frames.and_one"]),
    ]
    first.input[0], first.input[1] = "frames.and_one", "frames.weight"
    graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in tensors.items())
    _keep(model, [*nodes, *graph.node])
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _preprocessing(
    model: ModelProto, first: NodeProto, shape: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Gains (channels, bytes) and shifts (channels,) of the convolution's input, and its weights."""
    probe = ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in first.input[:2])
    _keep(probe, list(probe.graph.node))
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    num_frames, _, _, channels = shape
    # One after the other, each channel of each frame is white and everything else black.
    clips = np.zeros((1 + num_frames * channels, *shape), np.uint8)
    for number in range(num_frames * channels):
        clips[1 + number, number // channels, ..., number % channels] = WHITE
    seen, weight = session.run(None, {model.graph.input[0].name: clips})
    values = seen[:, :, 0, 0].astype(np.float64)
    return ((values[1:] - values[0]) / WHITE).T, values[0], weight.astype(np.float64)


def _keep(model: ModelProto, nodes: list[NodeProto]) -> None:
    """Leave those of the nodes, in an order in which they can be computed, and constants that the outputs need."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.insert(0, node)
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(kept)
    graph.initializer.extend(constants)
