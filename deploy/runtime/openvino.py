"""Run an encoder in OpenVINO on the CPU, with its files, tensors and output checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.bundle_files import read_graph
from cavsync.deploy.runtime.openvino_library import openvino_core
from cavsync.deploy.runtime.reasons import LAST_LINE, reason
from cavsync.errors import BundleError
from cavsync.manifest import EngineSpec, FileEntry, GraphSpec, TensorSpec

MAX_HEAD_BYTES = 1000
# OpenVINO's names for the types that a bundle may use.
RUNTIME_DTYPES = {"float32": "f32", "float16": "f16", "uint8": "u8"}


class OpenVinoGraph:
    """An OpenVINO graph ready to run in place of the ONNX graph `spec`; threads may share it.

    Args:
        folder: the bundle.
        spec: inputs and outputs of the graph that the engine computes.
        engine: the .xml file, with the .bin file as its only companion.
        files: sizes and hashes of the bundle's files.
        threads: threads inside one operator; None lets OpenVINO choose.

    Raises:
        BundleError: a file differs from its hash, or the graph is invalid or differs from `spec`.
        ConfigError: OpenVINO is missing.
    """

    def __init__(
        self, folder: Path, spec: GraphSpec, engine: EngineSpec, files: dict[str, FileEntry], *, threads: int | None
    ) -> None:
        self._path = folder / engine.file
        if len(engine.companions) != 1:
            raise BundleError(f"{self._path} is declared without its weights, one .bin file: export the bundle again")
        core = openvino_core()
        description, weights = (read_graph(folder, name, files[name]) for name in (engine.file, *engine.companions))
        _require_own_format(self._path, description)
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            model = core.read_model(model=description, weights=weights)
            self._compiled = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise BundleError(
                f"{self._path} is not a usable OpenVINO graph ({reason(error, LAST_LINE)}): export the bundle again"
            ) from None
        _check_tensors(self._path, "input", spec.inputs, self._compiled.inputs)
        _check_tensors(self._path, "output", spec.outputs, self._compiled.outputs)
        self._input = spec.inputs[0]
        self._outputs = {tensor.name: place for place, tensor in enumerate(spec.outputs)}
        self._request = self._compiled.create_infer_request()
        self._lock = Lock()

    def run(self, values: NDArray[Any], output: str) -> NDArray[np.float32]:
        """Return the output named `output` for the one input `values`, as float32.

        Raises:
            BundleError: the graph refuses the input or gives values that are not finite.
        """
        return self.run_all(values, [output])[0]

    def run_all(self, values: NDArray[Any], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return several outputs of one computation, as `run` returns one."""
        # OpenVINO would convert other types, and computes nothing for other shapes.
        if values.dtype != np.dtype(self._input.dtype) or list(values.shape[1:]) != self._input.shape[1:]:
            raise BundleError(
                f"{self._path} takes {self._input.dtype} {self._input.shape}, it was given {values.dtype} "
                f"{list(values.shape)}: export the bundle again"
            )
        with self._lock:
            try:
                self._request.infer({0: values})
            except (RuntimeError, ValueError) as error:
                raise BundleError(
                    f"{self._path} fails on an input of shape {values.shape} ({reason(error, LAST_LINE)}): "
                    "export the bundle again"
                ) from None
            tensors = [self._request.get_output_tensor(self._outputs[output]) for output in outputs]
            found = [np.array(tensor.data, dtype=np.float32) for tensor in tensors]
        if not all(np.isfinite(result).all() for result in found):
            raise BundleError(
                f"{self._path} gives values that are not finite, they should be numbers: export the bundle again"
            )
        return found


def _require_own_format(path: Path, description: bytes) -> None:
    """Refuse other formats: the reader would also accept ONNX that points at other files."""
    if not description.lstrip().startswith(b"<?xml") or b"<net " not in description[:MAX_HEAD_BYTES]:
        raise BundleError(f"{path} is not an OpenVINO graph, expected its XML: export the bundle again")


def _check_tensors(path: Path, side: str, declared: list[TensorSpec], found: list[Any]) -> None:
    shapes = [[size.get_length() if size.is_static else -1 for size in item.get_partial_shape()] for item in found]
    types = [item.get_element_type().get_type_name() for item in found]
    wanted = [[size if isinstance(size, int) else -1 for size in tensor.shape] for tensor in declared]
    agrees = types == [RUNTIME_DTYPES.get(tensor.dtype) for tensor in declared] and len(shapes) == len(wanted)
    agrees = agrees and all(_fit(*pair) for pair in zip(wanted, shapes, strict=True))
    if not agrees:
        raise BundleError(
            f"{path} has the {side}s {types} {shapes}, the manifest declares {[t.dtype for t in declared]} {wanted}: "
            "export the bundle again"
        )


def _fit(wanted: list[int], found: list[int]) -> bool:
    """Whether ranks are equal, and sizes where both are fixed."""
    return len(wanted) == len(found) and all(w == f or -1 in (w, f) for w, f in zip(wanted, found, strict=True))
