"""Converted graphs against LiteRT, on small models written for the test: padding, strides, layouts, half precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavsync.errors import ExportError
from cavsync.export.faces.convert import ImageNetwork, convert

# Installed by `make face-graphs`.
flatbuffers = pytest.importorskip("flatbuffers")
schema: Any = pytest.importorskip("ai_edge_litert.schema_py_generated")
Interpreter: Any = pytest.importorskip("ai_edge_litert.interpreter").Interpreter

OPERATORS = schema.BuiltinOperator
TYPES = {np.dtype(np.float32): 0, np.dtype(np.float16): 1, np.dtype(np.int32): 2}


class LiteWriter:
    """Writes a model of one image input by appending operations."""

    def __init__(self, height: int, width: int) -> None:
        self.model = schema.ModelT()
        self.model.version, self.model.operatorCodes, self.model.buffers = 3, [], [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]
        self.image = self.tensor((1, height, width, 3))
        self.random = np.random.default_rng(0)

    def tensor(self, shape: tuple[int, ...], values: np.ndarray | None = None, dtype: Any = np.float32) -> int:
        found = schema.TensorT()
        found.shape, found.type, found.name = list(shape), TYPES[np.dtype(dtype)], f"t{len(self.graph.tensors)}"
        found.buffer = 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            found.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(found)
        return len(self.graph.tensors) - 1

    def constant(self, values: np.ndarray) -> int:
        return self.tensor(values.shape, values, values.dtype)

    def add(self, code: int, inputs: list[int], shape: tuple[int, ...], options: Any = None, kind: int = 0) -> int:
        described = schema.OperatorCodeT()
        described.builtinCode = described.deprecatedBuiltinCode = code
        described.version = 1 if code != OPERATORS.DEQUANTIZE else 3
        self.model.operatorCodes.append(described)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        output = self.tensor(shape)
        operator.inputs, operator.outputs = inputs, [output]
        operator.builtinOptions, operator.builtinOptionsType = options, kind
        self.graph.operators.append(operator)
        return output

    def weights(self, *shape: int, half: bool = False) -> int:
        values = self.random.normal(0, 0.3, shape).astype(np.float32)
        if not half:
            return self.constant(values)
        stored = self.constant(values.astype(np.float16))
        return self.add(OPERATORS.DEQUANTIZE, [stored], shape)

    def pad(self, image: int, shape: tuple[int, ...], channels: int) -> int:
        amounts = self.constant(np.array([[0, 0], [0, 0], [0, 0], [0, channels]], np.int32))
        padded = (*shape[:3], shape[3] + channels)
        return self.add(OPERATORS.PAD, [image, amounts], padded, schema.PadOptionsT(), schema.BuiltinOptions.PadOptions)

    def write(self, path: Path, outputs: list[int]) -> Path:
        self.graph.inputs, self.graph.outputs = [self.image], outputs
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        path.write_bytes(builder.Output())
        return path


def assert_same(path: Path, shape: tuple[int, ...]) -> None:
    """The converted graph gives LiteRT's outputs, joined along the last axis."""
    network = ImageNetwork(2 / 255, -1.0, "found", shape)
    session = onnxruntime.InferenceSession(convert(path, network, "test").SerializeToString())
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    image = np.random.default_rng(1).integers(0, 256, entry["shape"], dtype=np.uint8)
    interpreter.set_tensor(entry["index"], image.astype(np.float32) * np.float32(2 / 255) - 1)
    interpreter.invoke()
    parts = [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]
    expected = np.concatenate([part.reshape(1, *shape[:-1], -1) for part in parts], axis=-1)
    (found,) = session.run(None, {"image": image})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def options(cls: Any, **values: Any) -> Any:
    found = cls()
    for name, value in values.items():
        setattr(found, name, value)
    return found


def convolution(padding: int, stride: int, activation: int = 0) -> dict[str, Any]:
    kind = schema.BuiltinOptions.Conv2DOptions
    made = options(
        schema.Conv2DOptionsT, padding=padding, strideH=stride, strideW=stride, dilationHFactor=1, dilationWFactor=1,
        fusedActivationFunction=activation,
    )  # fmt: skip
    return {"options": made, "kind": kind}


def reduced(size: int, padding: int, stride: int, reach: int) -> int:
    return -(-size // stride) if padding == 0 else (size - reach) // stride + 1


@settings(deadline=None, max_examples=25)
@given(
    st.integers(7, 20), st.integers(7, 20), st.sampled_from([1, 3, 5]), st.sampled_from([1, 2, 3]),
    st.sampled_from([0, 1]), st.booleans(), st.sampled_from([0, 1]),
)  # fmt: skip
def test_convolutions_pad_as_tensorflow_does(
    tmp_path_factory: pytest.TempPathFactory,
    height: int,
    width: int,
    reach: int,
    stride: int,
    padding: int,
    half: bool,
    activation: int,
) -> None:
    """SAME and VALID, odd and even sizes, strides up to 3, weights in half precision, a fused activation."""
    lite = LiteWriter(height, width)
    shape = (1, reduced(height, padding, stride, reach), reduced(width, padding, stride, reach), 4)
    inputs = [lite.image, lite.weights(4, reach, reach, 3, half=half), lite.weights(4)]
    out = lite.add(OPERATORS.CONV_2D, inputs, shape, **convolution(padding, stride, activation))
    path = lite.write(tmp_path_factory.mktemp("lite") / "model.tflite", [out])
    assert_same_image(path, shape)


def assert_same_image(path: Path, shape: tuple[int, ...]) -> None:
    """As `assert_same`, for a feature map, which is flattened channels first."""
    network = ImageNetwork(1 / 255, 0.0, "found", (int(np.prod(shape)),))
    session = onnxruntime.InferenceSession(convert(path, network, "test").SerializeToString())
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    image = np.random.default_rng(1).integers(0, 256, entry["shape"], dtype=np.uint8)
    interpreter.set_tensor(entry["index"], image.astype(np.float32) * np.float32(1 / 255))
    interpreter.invoke()
    expected = interpreter.get_tensor(result["index"]).transpose(0, 3, 1, 2).reshape(1, -1)
    np.testing.assert_allclose(session.run(None, {"image": image})[0], expected, rtol=1e-4, atol=1e-4)


def test_all_operations_in_one_network(tmp_path: Path) -> None:
    """Depthwise convolution, slopes, pooling, padding of channels, enlarging, a sum, and rows joined at the end."""
    lite = LiteWriter(16, 16)
    x = lite.add(OPERATORS.CONV_2D, [lite.image, lite.weights(8, 3, 3, 3), lite.weights(8)], (1, 8, 8, 8),
                 **convolution(0, 2))  # fmt: skip
    x = lite.add(OPERATORS.PRELU, [x, lite.constant(lite.random.normal(0, 0.2, (1, 1, 8)).astype(np.float32))],
                 (1, 8, 8, 8))  # fmt: skip
    depth = options(
        schema.DepthwiseConv2DOptionsT, padding=0, strideH=1, strideW=1, depthMultiplier=1, dilationHFactor=1,
        dilationWFactor=1, fusedActivationFunction=1,
    )  # fmt: skip
    y = lite.add(OPERATORS.DEPTHWISE_CONV_2D, [x, lite.weights(1, 3, 3, 8, half=True), lite.weights(8)], (1, 8, 8, 8),
                 depth, schema.BuiltinOptions.DepthwiseConv2DOptions)  # fmt: skip
    x = lite.add(OPERATORS.ADD, [x, y], (1, 8, 8, 8), options(schema.AddOptionsT, fusedActivationFunction=0),
                 schema.BuiltinOptions.AddOptions)  # fmt: skip
    pool = options(schema.Pool2DOptionsT, padding=0, strideH=2, strideW=2, filterHeight=2, filterWidth=2,
                   fusedActivationFunction=0)  # fmt: skip
    x = lite.add(OPERATORS.MAX_POOL_2D, [x], (1, 4, 4, 8), pool, schema.BuiltinOptions.Pool2DOptions)
    x = lite.pad(x, (1, 4, 4, 8), 4)
    large = options(schema.ResizeBilinearOptionsT, alignCorners=False, halfPixelCenters=True)
    x = lite.add(OPERATORS.RESIZE_BILINEAR, [x, lite.constant(np.array([8, 8], np.int32))], (1, 8, 8, 12), large,
                 schema.BuiltinOptions.ResizeBilinearOptions)  # fmt: skip
    x = lite.add(OPERATORS.RELU, [x], (1, 8, 8, 12))
    rows = []
    for number in (3, 5):
        shape = options(schema.ReshapeOptionsT, newShape=[1, 64 * 12 // 6, 6])
        head = lite.add(OPERATORS.CONV_2D, [x, lite.weights(12, number, number, 12), lite.weights(12)], (1, 8, 8, 12),
                        **convolution(0, 1))  # fmt: skip
        rows.append(lite.add(OPERATORS.RESHAPE, [head], (1, 128, 6), shape, schema.BuiltinOptions.ReshapeOptions))
    joined = options(schema.ConcatenationOptionsT, axis=1, fusedActivationFunction=0)
    out = lite.add(OPERATORS.CONCATENATION, rows, (1, 256, 6), joined, schema.BuiltinOptions.ConcatenationOptions)
    assert_same(lite.write(tmp_path / "model.tflite", [out]), (256, 6))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.2, 0.9, 1.0, 1.6]))
def test_channels_of_any_number_and_slopes_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, channels: int, more: int, largest: float
) -> None:
    """Channels are padded across and within blocks; slopes may be negative, 1, and above 1."""
    lite = LiteWriter(6, 6)
    shape = (1, 6, 6, channels)
    x = lite.add(OPERATORS.CONV_2D, [lite.image, lite.weights(channels, 3, 3, 3), lite.weights(channels)], shape,
                 **convolution(0, 1))  # fmt: skip
    slopes = lite.random.uniform(-1, largest, (1, 1, channels)).astype(np.float32)
    slopes[..., 0] = largest
    x = lite.add(OPERATORS.PRELU, [x, lite.constant(slopes)], shape)
    wide = (1, 6, 6, channels + more)
    y = lite.add(OPERATORS.CONV_2D, [x, lite.weights(wide[3], 1, 1, channels), lite.weights(wide[3])], wide,
                 **convolution(0, 1))  # fmt: skip
    x = lite.add(OPERATORS.ADD, [lite.pad(x, shape, more), y], wide, schema.AddOptionsT(),
                 schema.BuiltinOptions.AddOptions)  # fmt: skip
    assert_same_image(lite.write(tmp_path_factory.mktemp("lite") / "model.tflite", [x]), wide)


def test_the_image_itself_may_be_added_and_padded(tmp_path: Path) -> None:
    """It has its three channels only, other feature maps have whole blocks."""
    lite = LiteWriter(6, 6)
    x = lite.add(OPERATORS.CONV_2D, [lite.image, lite.weights(3, 3, 3, 3), lite.weights(3)], (1, 6, 6, 3),
                 **convolution(0, 1))  # fmt: skip
    x = lite.add(OPERATORS.ADD, [lite.image, x], (1, 6, 6, 3), schema.AddOptionsT(), schema.BuiltinOptions.AddOptions)
    x = lite.add(OPERATORS.ADD, [lite.pad(x, (1, 6, 6, 3), 20), lite.pad(lite.image, (1, 6, 6, 3), 20)], (1, 6, 6, 23),
                 schema.AddOptionsT(), schema.BuiltinOptions.AddOptions)  # fmt: skip
    assert_same_image(lite.write(tmp_path / "model.tflite", [x]), (1, 6, 6, 23))


def test_what_is_not_supported_is_refused_by_name(tmp_path: Path) -> None:
    lite = LiteWriter(8, 8)
    out = lite.add(OPERATORS.TANH, [lite.image], (1, 8, 8, 3))
    with pytest.raises(ExportError, match="TANH"):
        convert(lite.write(tmp_path / "model.tflite", [out]), ImageNetwork(1, 0, "found", (192,)), "test")
    (tmp_path / "other.tflite").write_bytes(b"no model at all")
    with pytest.raises(ExportError, match="not a TensorFlow Lite model"):
        convert(tmp_path / "other.tflite", ImageNetwork(1, 0, "found", (192,)), "test")
