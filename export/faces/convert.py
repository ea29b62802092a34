"""Convert TensorFlow Lite image networks to ONNX, channels first, with half-precision weights kept as they are.

Padding follows TensorFlow's rules ("SAME" pads by the input's size, more at the end than at the beginning).

The graphs are written for ONNX Runtime's CPU kernels, which keep feature maps in blocks of 8 or 16 channels from one
operation to the next where they can. So feature maps are filled up with channels of zeros to a multiple of 16, and
there is no PRelu and no Pad, which have no such kernels: each would bring a map into the usual layout and back.
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
BLOCK = 16
"""Channels of a feature map are filled up to a multiple of this."""
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
    """Names of tensors by index; those in `_first` have their channels first, the others are as in the original.

    `_widths` has the channels of the former with those that were added.
    """

    def __init__(self, model: LiteModel, network: ImageNetwork) -> None:
        self._model = model
        self._network = network
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._names: dict[int, str] = {}
        self._first: set[int] = set()
        self._widths: dict[int, int] = {}
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
            self._node("Flatten", [self._unfilled(tensor, axis=1)]) if tensor in self._first else self._names[tensor]
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
        values = self._node("Transpose", ["image"], perm=[0, 3, 1, 2])
        values = self._node("Cast", [values], to=TensorProto.FLOAT)
        values = self._node("Mul", [values, self._constant(np.float32(self._network.scale))])
        if self._network.shift:
            values = self._node("Add", [values, self._constant(np.float32(self._network.shift))])
        self._names[image] = values
        self._first.add(image)
        self._widths[image] = self._model.shape(image)[-1]

    def _take(self, operation: Operation) -> None:
        kind, output = operation.kind, operation.output
        if kind == "DEQUANTIZE":
            # Weights are stored in half precision; the runtime makes them float32 once, when it opens the graph.
            self._halves[output] = operation.inputs[0]
        elif kind == "RESHAPE":
            # Rows of a feature map, as the original has them: channels last.
            last = self._node("Transpose", [self._image(operation)], perm=[0, 2, 3, 1])
            last = self._unfilled(operation.inputs[0], axis=3, values=last)
            shape = np.array([0, -1, self._model.shape(output)[-1]], np.int64)
            self._names[output] = self._node("Reshape", [last, self._constant(shape)])
        elif kind == "CONCATENATION":
            if any(tensor in self._first for tensor in operation.inputs):
                raise ExportError("CONCATENATION of feature maps is not supported, only that of rows")
            parts = [self._names[tensor] for tensor in operation.inputs]
            self._names[output] = self._node("Concat", parts, axis=operation.options.axis)
        elif kind in self._kinds:
            # Most operations keep the channels; the others note how many theirs have.
            self._widths[output] = self._widths.get(operation.inputs[0], 0)
            self._names[output] = self._kinds[kind](operation)
            self._first.add(output)
        else:
            raise ExportError(f"operation {kind} is not supported")

    def _convolve(self, operation: Operation) -> str:
        options, (image, kernel, bias) = operation.options, operation.inputs
        weights, channels = self._weights(kernel), self._widths[image]
        is_full = operation.kind == "CONV_2D"
        weights = weights.transpose((0, 3, 1, 2) if is_full else (3, 0, 1, 2))
        is_dilated = (options.dilationHFactor, options.dilationWFactor) != (1, 1)
        if is_dilated or weights.shape[1 if is_full else 0] != self._model.shape(image)[-1]:
            raise ExportError(f"{operation.kind} with dilation or with several kernels per channel is not supported")
        width = _filled(len(weights)) if is_full else channels
        weights = _with_zeros(weights, (width, channels if is_full else 1, *weights.shape[2:]))
        biases = _with_zeros(self._weights(bias), (width,))
        self._widths[operation.output] = width
        shape, strides, groups = weights.shape[2:], (options.strideH, options.strideW), 1 if is_full else width
        values = self._node(
            "Conv",
            [self._image(operation), self._constant(weights), self._constant(biases)],
            kernel_shape=list(shape),
            strides=list(strides),
            group=groups,
            pads=self._pads(image, options.padding, shape, strides),
        )
        return self._activated(values, options)

    def _add(self, operation: Operation) -> str:
        options, (one, other) = operation.options, operation.inputs
        if self._model.shape(one) != self._model.shape(other):
            raise ExportError("ADD of tensors of different shapes is not supported")
        width = self._widths[operation.output] = max(self._widths[one], self._widths[other])
        return self._activated(self._node("Add", [self._widened(tensor, width) for tensor in (one, other)]), options)

    def _prelu(self, operation: Operation) -> str:
        slopes = self._weights(operation.inputs[1])
        if slopes.shape[:-1] != (1,) * (slopes.ndim - 1):
            raise ExportError("PRELU with a slope of its own for each pixel is not supported")
        values = self._image(operation)
        slopes = _with_zeros(slopes.reshape(-1).astype(np.float32), (self._widths[operation.inputs[0]],))
        if slopes.max() <= 1:
            # Negative values become positive ones here, and positive values zero.
            return self._node("Add", [values, self._node("Relu", [self._scaled(values, slopes - 1)])])
        positive = self._node("Relu", [values])
        return self._node("Add", [self._scaled(values, slopes), self._scaled(positive, 1 - slopes)])

    def _scaled(self, values: str, factors: NDArray[np.float32]) -> str:
        """Each channel times its factor."""
        kernels = self._constant(factors.reshape(-1, 1, 1, 1))
        return self._node("Conv", [values, kernels], kernel_shape=[1, 1], group=len(factors))

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
        if pads[:3].any() or pads[3, 0]:
            raise ExportError("PAD other than by channels at the end is not supported")
        width = self._widths[operation.output] = _filled(self._model.shape(operation.output)[-1])
        return self._widened(operation.inputs[0], width)

    def _widened(self, tensor: int, width: int) -> str:
        """A feature map with channels of zeros at its end, `width` in all."""
        channels = self._widths[tensor]
        if channels == width:
            return self._names[tensor]
        kernels = self._node("ConstantOfShape", [self._constant(np.array([width - channels, channels, 1, 1]))])
        zeros = self._node("Conv", [self._names[tensor], kernels], kernel_shape=[1, 1])
        return self._node("Concat", [self._names[tensor], zeros], axis=1)

    def _unfilled(self, tensor: int, *, axis: int, values: str | None = None) -> str:
        """A feature map, or `values` made of it, with its original channels only, which lie along `axis`."""
        values, channels = values or self._names[tensor], self._model.shape(tensor)[-1]
        if channels == self._widths[tensor]:
            return values
        begin, end, along = (self._constant(np.array([place])) for place in (0, channels, axis))
        return self._node("Slice", [values, begin, end, along])

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


def _filled(channels: int) -> int:
    """The multiple of a block that holds so many channels."""
    return -(-channels // BLOCK) * BLOCK


def _with_zeros(values: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """`values` with zeros at the ends of its axes."""
    return np.pad(values, [(0, large - small) for large, small in zip(shape, values.shape, strict=True)])
