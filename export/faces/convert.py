"""Convert TensorFlow Lite image networks to ONNX, channels first, with half-precision weights kept as they are.

Padding follows TensorFlow's rules ("SAME" pads by the input's size, more at the end than at the beginning).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cavsync.errors import ExportError
from cavsync.export.faces.tflite import LiteModel, Operation

OPSET = 18
IR_VERSION = 9
SAME_PADDING = 0
ACTIVATIONS = {0: None, 1: "Relu"}
"""ActivationFunctionType of the schema -> ONNX operator."""


@dataclass(frozen=True)
class ImageNetwork:
    """The interface that a network gets: uint8 RGB `image` (batch, H, W, 3) in, one output of float32 out.

    The image is multiplied by `scale`, then `shift` is added. `output` is the original outputs joined along the last
    axis, of shape `shape` without the batch.
    """

    scale: float
    shift: float
    output: str
    shape: tuple[int, ...]


def convert(path: Path, network: ImageNetwork, name: str) -> onnx.ModelProto:
    """Return the ONNX graph `name` of a TensorFlow Lite file with one image as its input.

    Raises:
        ExportError: the file has an operation, an activation or a layout that is not supported.
    """
    return _Converter(LiteModel(path), network).run(name)


class _Converter:
    """Names of tensors by index; those in `_first` have their channels first, the others are as in the original."""

    def __init__(self, model: LiteModel, network: ImageNetwork) -> None:
        self._model = model
        self._network = network
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._names: dict[int, str] = {}
        self._first: set[int] = set()
        self._halves: dict[int, int] = {}
        self._kinds: dict[str, Callable[[Operation], str]] = {
            "CONV_2D": self._convolve,
            "DEPTHWISE_CONV_2D": self._convolve,
            "ADD": self._add,
            "RELU": lambda operation: self._node("Relu", [self._image(operation)]),
            "PRELU": self._prelu,
            "MAX_POOL_2D": self._pool,
            "PAD": self._pad,
            "RESIZE_BILINEAR": self._resize,
        }

    def run(self, name: str) -> onnx.ModelProto:
        (image,) = self._model.inputs
        _, height, width, _ = self._model.shape(image)
        self._begin(image)
        for operation in self._model.operations():
            self._take(operation)
        parts = [
            self._node("Flatten", [self._names[tensor]]) if tensor in self._first else self._names[tensor]
            for tensor in self._model.outputs
        ]
        output = self._network.output
        shape: list[str | int | None] = ["batch", *self._network.shape]
        self._nodes.append(helper.make_node("Concat", parts, [output], axis=-1))
        accepted = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", height, width, 3])
        returned = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self._nodes, name, [accepted], [returned], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _begin(self, image: int) -> None:
        values = self._node("Cast", ["image"], to=TensorProto.FLOAT)
        values = self._node("Transpose", [values], perm=[0, 3, 1, 2])
        values = self._node("Mul", [values, self._constant(np.float32(self._network.scale))])
        if self._network.shift:
            values = self._node("Add", [values, self._constant(np.float32(self._network.shift))])
        self._names[image] = values
        self._first.add(image)

    def _take(self, operation: Operation) -> None:
        kind, output = operation.kind, operation.output
        if kind == "DEQUANTIZE":
            # Weights are stored in half precision; the runtime makes them float32 once, when it opens the graph.
            self._halves[output] = operation.inputs[0]
        elif kind == "RESHAPE":
            # Rows of a feature map, as the original has them: channels last.
            last = self._node("Transpose", [self._image(operation)], perm=[0, 2, 3, 1])
            shape = np.array([0, -1, self._model.shape(output)[-1]], np.int64)
            self._names[output] = self._node("Reshape", [last, self._constant(shape)])
        elif kind == "CONCATENATION":
            if any(tensor in self._first for tensor in operation.inputs):
                raise ExportError("CONCATENATION of feature maps is not supported, only that of rows")
            parts = [self._names[tensor] for tensor in operation.inputs]
            self._names[output] = self._node("Concat", parts, axis=operation.options.axis)
        elif kind in self._kinds:
            self._names[output] = self._kinds[kind](operation)
            self._first.add(output)
        else:
            raise ExportError(f"operation {kind} is not supported")

    def _convolve(self, operation: Operation) -> str:
        options, (image, kernel, bias) = operation.options, operation.inputs
        weights = self._weights(kernel)
        if operation.kind == "CONV_2D":
            weights, groups = weights.transpose(0, 3, 1, 2), 1
        else:
            weights = weights.transpose(3, 0, 1, 2)
            groups = len(weights)
        is_dilated = (options.dilationHFactor, options.dilationWFactor) != (1, 1)
        if is_dilated or weights.shape[1] * groups != self._model.shape(image)[-1]:
            raise ExportError(f"{operation.kind} with dilation or with several kernels per channel is not supported")
        shape, strides = weights.shape[2:], (options.strideH, options.strideW)
        values = self._node(
            "Conv",
            [self._names[image], self._constant(weights), self._constant(self._weights(bias))],
            kernel_shape=list(shape),
            strides=list(strides),
            group=groups,
            pads=self._pads(image, options.padding, shape, strides),
        )
        return self._activated(values, options)

    def _add(self, operation: Operation) -> str:
        one, other = operation.inputs
        if self._model.shape(one) != self._model.shape(other):
            raise ExportError("ADD of tensors of different shapes is not supported")
        return self._activated(self._node("Add", [self._names[one], self._names[other]]), operation.options)

    def _prelu(self, operation: Operation) -> str:
        slopes = self._weights(operation.inputs[1])
        if slopes.shape[:-1] != (1,) * (slopes.ndim - 1):
            raise ExportError("PRELU with a slope of its own for each pixel is not supported")
        return self._node("PRelu", [self._image(operation), self._constant(slopes.reshape(-1, 1, 1))])

    def _pool(self, operation: Operation) -> str:
        options = operation.options
        shape, strides = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
        pads = self._pads(operation.inputs[0], options.padding, shape, strides)
        values = self._node(
            "MaxPool", [self._image(operation)], kernel_shape=list(shape), strides=list(strides), pads=pads
        )
        return self._activated(values, options)

    def _pad(self, operation: Operation) -> str:
        pads = self._model.constant(operation.inputs[1])
        if pads is None:
            raise ExportError("PAD by computed amounts is not supported")
        first = pads[[0, 3, 1, 2]].T.reshape(-1).astype(np.int64)
        return self._node("Pad", [self._image(operation), self._constant(first)])

    def _resize(self, operation: Operation) -> str:
        options = operation.options
        height, width = self._model.shape(operation.inputs[0])[1:3]
        to_height, to_width = self._model.shape(operation.output)[1:3]
        mode = "align_corners" if options.alignCorners else "half_pixel" if options.halfPixelCenters else "asymmetric"
        scales = np.array([1, 1, to_height / height, to_width / width], np.float32)
        return self._node(
            "Resize",
            [self._image(operation), "", self._constant(scales)],
            mode="linear",
            coordinate_transformation_mode=mode,
        )

    def _pads(self, image: int, padding: int, kernel: Sequence[int], strides: Sequence[int]) -> list[int]:
        """Return ONNX's order of paddings: all beginnings, then all ends."""
        if padding != SAME_PADDING:
            return [0, 0, 0, 0]
        totals = [
            max((-(-size // stride) - 1) * stride + reach - size, 0)
            for size, reach, stride in zip(self._model.shape(image)[1:3], kernel, strides, strict=True)
        ]
        return [total // 2 for total in totals] + [total - total // 2 for total in totals]

    def _activated(self, values: str, options: Any) -> str:
        function = options.fusedActivationFunction
        if function not in ACTIVATIONS:
            raise ExportError(f"activation function {function} is not supported")
        operator = ACTIVATIONS[function]
        return values if operator is None else self._node(operator, [values])

    def _image(self, operation: Operation) -> str:
        if operation.inputs[0] not in self._first:
            raise ExportError(f"{operation.kind} of something other than a feature map is not supported")
        return self._names[operation.inputs[0]]

    def _weights(self, tensor: int) -> NDArray[Any]:
        values = self._model.constant(self._halves.get(tensor, tensor))
        if values is None:
            raise ExportError("computed weights are not supported")
        return values

    def _constant(self, values: NDArray[Any] | np.float32) -> str:
        """Store a constant; half-precision ones get a cast, which runtimes fold when they open the graph."""
        stored = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), stored))
        if np.asarray(values).dtype == np.float16:
            return self._node("Cast", [stored], to=TensorProto.FLOAT)
        return stored

    def _node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        output = f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output
