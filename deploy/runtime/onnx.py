"""Run an ONNX graph in ONNX Runtime: on the chosen provider only, with tensors and output checked."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.bundle_files import read_graph
from cavsync.deploy.runtime.reasons import plain, reason
from cavsync.deploy.runtime.self_contained import check_self_contained
from cavsync.errors import BundleError, ConfigError
from cavsync.manifest import FileEntry, GraphSpec, TensorSpec

CPU_PROVIDER = "CPUExecutionProvider"
# ONNX Runtime's names for the types that a bundle may use.
RUNTIME_DTYPES = {"float32": "tensor(float)", "float16": "tensor(float16)", "uint8": "tensor(uint8)"}


class OnnxGraph:
    """An ONNX graph ready to run.

    Args:
        folder: the bundle.
        spec: file, inputs and outputs as the manifest declares them.
        entry: size and hash of the file.
        providers: execution providers in order of preference; None means the CPU.
        threads: threads inside one operator; None lets ONNX Runtime choose.
        cores: one for each thread; the calling thread counts as the first and is not moved.

    Raises:
        BundleError: the file differs from `entry`, points at other files or is not a valid graph, or its inputs and
            outputs differ from the manifest.
        ConfigError: the first provider cannot be used on this machine.
    """

    def __init__(
        self,
        folder: Path,
        spec: GraphSpec,
        entry: FileEntry,
        *,
        providers: Sequence[str] | None,
        threads: int | None,
        cores: Sequence[int] | None = None,
    ) -> None:
        self._path = folder / spec.file
        content = read_graph(folder, spec.file, entry)
        check_self_contained(self._path, content)
        try:
            self._session = _open_session(self._path, content, providers, threads, cores)
            inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
            _check_tensors(self._path, "input", spec.inputs, inputs)
            _check_tensors(self._path, "output", spec.outputs, outputs)
        except UnicodeError:
            raise BundleError(
                f"{self._path} is not a usable ONNX graph (a name in it is not UTF-8): export the bundle again"
            ) from None
        self._input = spec.inputs[0].name
        self._takes_one = inputs[0].shape[0] == 1

    def run(self, values: NDArray[Any], output: str) -> NDArray[np.float32]:
        """Return the output named `output` for the one input `values`, as float32. BundleError as for `run_on`."""
        return self.run_on({self._input: values}, output)

    def run_all(self, values: NDArray[Any], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return several outputs of one computation, as `run` returns one."""
        return self._outputs_of({self._input: values}, outputs)

    def run_on(self, inputs: Mapping[str, NDArray[Any]], output: str) -> NDArray[np.float32]:
        """Return the output named `output` for inputs by name, which have as many rows each, as float32.

        Raises:
            BundleError: the graph refuses the inputs or gives values that are not finite.
        """
        return self._outputs_of(inputs, [output])[0]

    def _outputs_of(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        count = len(next(iter(inputs.values())))
        if self._takes_one and count > 1:
            rows = ({name: values[place : place + 1] for name, values in inputs.items()} for place in range(count))
            parts = [self._outputs_of(row, outputs) for row in rows]
            return [np.concatenate(part) for part in zip(*parts, strict=True)]
        try:
            results = self._session.run([*outputs], dict(inputs))
        except _runtime_errors() as error:
            shapes = " and ".join(str(values.shape) for values in inputs.values())
            raise BundleError(f"{self._path} fails on an input of shape {shapes} ({reason(error)}): "
                              "export the bundle again") from None  # fmt: skip
        found = [np.asarray(result, dtype=np.float32) for result in results]
        if not all(np.isfinite(result).all() for result in found):
            raise BundleError(
                f"{self._path} gives values that are not finite, they should be numbers: "
                "export the bundle again, in fp32 if this one is fp16"
            )
        return found


def runtime_version() -> str:
    """Return the version of ONNX Runtime, whichever of its packages is installed."""
    return str(import_onnxruntime().__version__)


def import_onnxruntime() -> Any:
    """Import the runtime when it is first needed, because that takes a tenth of a second.

    Since 1.29 its official builds store a device identifier in the home folder and send events about sessions and
    models to Microsoft, unless the environment forbids it before the import. Opening a bundle must not write or send
    anything, so telemetry is off unless ORT_DISABLE_TELEMETRY=0 is set.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def require_providers(wanted: Sequence[str]) -> None:
    """Raise ConfigError for an execution provider that the installed ONNX Runtime was built without."""
    available = import_onnxruntime().get_available_providers()
    for provider in wanted:
        if provider not in available:
            raise ConfigError(
                f"execution provider {provider} is not available, this ONNX Runtime has {', '.join(available)}: "
                "use one of these or install the runtime that has it"
            )


def _open_session(
    path: Path,
    content: bytes,
    providers: Sequence[str] | None,
    threads: int | None,
    cores: Sequence[int] | None,
) -> Any:
    """Open a session for the graph `content`; `path` is used in messages only."""
    ort = import_onnxruntime()
    wanted = list(providers) if providers else [CPU_PROVIDER]
    require_providers(wanted)
    if "CUDAExecutionProvider" in wanted:
        _load_cuda(ort)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    # Never the runtime's own format, which is not checked for pointers to other files.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # Sessions take turns, and streams share the cores: threads that spin while they wait double the cost of a stream.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    if cores is not None and len(cores) > 1:
        # For all threads but the calling one; ONNX Runtime counts cores from 1.
        affinities = ";".join(str(core + 1) for core in cores[1:])
        options.add_session_config_entry("session.intra_op_thread_affinities", affinities)
    try:
        session = ort.InferenceSession(
            content, sess_options=options, providers=wanted, read_config_from_model=0, enable_fallback=0
        )
    except _runtime_errors() as error:
        raise BundleError(f"{path} is not a usable ONNX graph ({reason(error)}): export the bundle again") from None
    # It keeps the bytes in order to restart on other providers, which `enable_fallback` forbids.
    session._model_bytes = None
    # The runtime silently uses the CPU when a provider's libraries do not load.
    if session.get_providers()[0] != wanted[0]:
        raise ConfigError(
            f"execution provider {wanted[0]} is installed but does not start here, only "
            f"{', '.join(session.get_providers())} does: check its driver and libraries or use {CPU_PROVIDER}"
        )
    return session


def _load_cuda(ort: Any) -> None:
    """Load CUDA's libraries from the packages that the extra `gpu` installs; a missing one fails at the session."""
    # It prints what it does not find.
    with redirect_stdout(sys.stderr):
        ort.preload_dlls()


def _check_tensors(path: Path, side: str, declared: list[TensorSpec], found: list[Any]) -> None:
    names, actual = [tensor.name for tensor in declared], [tensor.name for tensor in found]
    if names != actual:
        raise BundleError(
            f"{path} has the {side}s {plain(', '.join(actual))}, the manifest declares {plain(', '.join(names))}: "
            "export the bundle again"
        )
    for spec, tensor in zip(declared, found, strict=True):
        if RUNTIME_DTYPES.get(spec.dtype) != tensor.type or not _shapes_agree(spec.shape, tensor.shape):
            raise BundleError(
                f"{path} has the {side} {plain(spec.name)} as {plain(f'{tensor.type} {tensor.shape}')}, the manifest "
                f"declares {plain(f'{spec.dtype} {spec.shape}')}: export the bundle again"
            )


def _shapes_agree(declared: list[int | str], found: list[Any]) -> bool:
    """Whether ranks are equal, and sizes where both are fixed: a graph may leave open what the manifest fixes."""
    if len(declared) != len(found):
        return False
    pairs = zip(declared, found, strict=True)
    return all(want == have for want, have in pairs if isinstance(want, int) and isinstance(have, int))


def _runtime_errors() -> tuple[type[Exception], ...]:
    """ONNX Runtime's exceptions, which have no common base class."""
    state = import_onnxruntime().capi.onnxruntime_pybind11_state
    kinds = [item for item in vars(state).values() if isinstance(item, type) and issubclass(item, Exception)]
    return (*kinds, RuntimeError)
