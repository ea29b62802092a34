"""Run a written graph of any runtime on this machine's CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from cavsync.deploy.runtime.openvino_library import openvino_core
from cavsync.export.parity import Runner, one_of
from cavsync.export.precision.half import on_cpu

Array = NDArray[Any]


def open_runner(path: Path, runtime: str, precision: str = "fp32") -> Runner:
    """Return a function from the inputs to all outputs (float32), both in the graph's order.

    fp16 and bf16 products are computed in float32 on rounded operands, which gives the same numbers: see `on_cpu`.
    """
    if runtime == "openvino":
        return _openvino(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # As in `cavsync.deploy.runtime.onnx`: threads that spin would also slow the next graph that is timed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source: str | bytes = str(path)
    if precision in ("fp16", "bf16", "fp8"):
        # Optimisers remove rounding, or move it to operators that do not support fp8.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if precision in ("fp16", "bf16"):
        source = on_cpu(onnx.load(str(path))).SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    tensors = session.get_inputs()
    is_single = tensors[0].shape[0] == 1

    def run(*inputs: Array) -> list[Array]:
        if is_single and len(inputs[0]) > 1:
            parts = [run(*one_of(inputs, place)) for place in range(len(inputs[0]))]
            return [np.concatenate(found) for found in zip(*parts, strict=True)]
        feed = {tensor.name: values for tensor, values in zip(tensors, inputs, strict=True)}
        return [np.asarray(found, dtype=np.float32) for found in session.run(None, feed)]

    return run


def _openvino(path: Path) -> Runner:
    core = openvino_core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(str(path), "CPU", settings)
    request = compiled.create_infer_request()

    def run(*inputs: Array) -> list[Array]:
        (values,) = inputs
        found = request.infer({0: values})
        return [np.array(found[output], dtype=np.float32) for output in compiled.outputs]

    return run
