"""Graphs to build TensorRT engines of, and the settings of those builds."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

from cavsync.deploy.runtime.sidecar import BatchProfile
from cavsync.export.graphs import GraphStage, write_graph
from cavsync.manifest import TensorSpec

rtx_only = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed: pip install 'cavsync[trt]'"
)
PROFILE = BatchProfile(1, 8, 64)
PRECISIONS = ("fp32", "fp16", "int8")


class Items(CalibrationDataReader):  # type: ignore[misc]
    """Two random batches of an encoder's input."""

    def __init__(self, tensor: TensorSpec) -> None:
        shape, generator = (2, *tensor.shape[1:]), np.random.default_rng(0)
        numbers = [generator.integers(0, 256, shape) - (0 if tensor.dtype == "uint8" else 128) for _ in range(2)]
        self.batches = iter([{tensor.name: item.astype(tensor.dtype)} for item in numbers])

    def get_next(self) -> Any:
        return next(self.batches, None)


def write_precisions(stage: GraphStage, folder: Path) -> dict[str, Path]:
    """The graph in each precision: precision lives in the graph, TensorRT does not choose one."""
    paths = {precision: folder / f"{precision}.onnx" for precision in PRECISIONS}
    write_graph(stage, folder, {}).rename(paths["fp32"])
    model = onnx.load(str(paths["fp32"]))
    # The exporter's notes on shapes hinder both converters.
    del model.graph.value_info[:]
    plain = folder / "plain.onnx"
    onnx.save(model, str(plain))
    kept = ["LayerNormalization", "Softmax"]
    onnx.save(convert_float_to_float16(model, keep_io_types=True, op_block_list=kept), str(paths["fp16"]))
    quantize_static(
        str(plain),
        str(paths["int8"]),
        Items(stage.spec.inputs[0]),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
    )
    return paths


def small_graph(path: Path, operator: str, shape: list[Any], dtype: int = TensorProto.FLOAT, **attributes: Any) -> Path:
    """One node, `the_node`, from x to y."""
    tensors = [helper.make_tensor_value_info(name, dtype, shape) for name in "xy"]
    node = helper.make_node(operator, ["x"], ["y"], name="the_node", **attributes)
    graph = helper.make_graph([node], "g", tensors[:1], tensors[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path
