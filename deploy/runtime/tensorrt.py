"""Run a TensorRT engine on this machine's GPU, with its sidecar, tensors and output checked."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.cuda_device import CudaDevice, find_gpu
from cavsync.deploy.runtime.sidecar import Sidecar, check_loadable, read_sidecar
from cavsync.deploy.runtime.tensorrt_library import first_reason, import_library, message_log
from cavsync.errors import BundleError, ConfigError
from cavsync.manifest import EngineSpec, GraphSpec, TensorSpec


class TensorRtGraph:
    """A TensorRT engine ready to run in place of the ONNX graph `spec`; threads may share it.

    Args:
        folder: the bundle, whose hashes were checked.
        spec: inputs and outputs of the graph that the engine computes.
        engine: the engine's file, with its sidecar as its only companion.

    Raises:
        BundleError: the engine differs from its sidecar or the manifest, or was built for another release or GPU.
        ConfigError: the library or the GPU is missing, or CUDA refuses. There is no fall-back to another runtime.
    """

    def __init__(self, folder: Path, spec: GraphSpec, engine: EngineSpec) -> None:
        self._path = folder / engine.file
        self._sidecar = read_fitting_sidecar(folder, spec, engine)
        self._input = self._sidecar.inputs[0]
        self._outputs = {tensor.name: tensor for tensor in self._sidecar.outputs}
        library = import_library(engine.runtime)
        gpu, finding = find_gpu()
        if gpu is None:
            raise ConfigError(
                f"{self._path} needs an NVIDIA GPU, and here {finding}: run it on a machine with one, or score with "
                "ONNX Runtime"
            )
        plan = check_loadable(
            self._sidecar,
            self._path,
            library_version=str(library.__version__),
            compute_capability=gpu.compute_capability,
        )
        self._log = message_log(library)
        self._lock = Lock()
        with ExitStack() as opening:
            self._device = CudaDevice()
            opening.callback(self._device.close)
            self._context = self._open_context(library, plan)
            self._addresses = {}
            for tensor in (self._input, *self._sidecar.outputs):
                address = self._device.allocate(_size_bytes(tensor, self._sidecar.batch.max))
                opening.callback(self._device.free, address)
                self._addresses[tensor.name] = address
                if not self._context.set_tensor_address(tensor.name, address):
                    raise self._failure(f"does not take memory for {tensor.name}")
            # Also runs if `close` is never called, and at the end of the process.
            self._release = weakref.finalize(self, opening.pop_all().close)

    def run(self, values: NDArray[Any], output: str) -> NDArray[np.float32]:
        """Return the output named `output` for the one input `values`, as float32; large inputs take several calls.

        Raises:
            BundleError: the input has another type or shape than declared, or the values are not finite.
            ConfigError: CUDA refuses.
        """
        return self.run_all(values, [output])[0]

    def run_all(self, values: NDArray[Any], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return several outputs of one computation, as `run` returns one."""
        declared = [self._outputs[output] for output in outputs]
        if values.dtype != np.dtype(self._input.dtype) or list(values.shape[1:]) != self._input.shape[1:]:
            raise BundleError(
                f"{self._path} takes {self._input.dtype} {self._input.shape}, it was given {values.dtype} "
                f"{list(values.shape)}: export the bundle again"
            )
        largest = self._sidecar.batch.max
        nothing = [np.empty((0, *_item_shape(tensor)), dtype=np.float32) for tensor in declared]
        parts = [self._run_batch(values[place : place + largest], declared) for place in range(0, len(values), largest)]
        results = [np.concatenate(found) for found in zip(nothing, *parts, strict=True)]
        if not all(np.isfinite(result).all() for result in results):
            raise BundleError(
                f"{self._path} gives values that are not finite, they should be numbers: build the engine again, in "
                "fp32 if this one is fp16"
            )
        return results

    def close(self) -> None:
        """Free the GPU's memory; the graph cannot run afterwards."""
        self._release()

    def _run_batch(self, values: NDArray[Any], declared: Sequence[TensorSpec]) -> list[NDArray[np.float32]]:
        """Run at most the profile's largest batch; fewer than its smallest are padded, and the padding removed."""
        missing = max(0, self._sidecar.batch.min - len(values))
        filled = np.ascontiguousarray(np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]))
        results = [np.empty((len(filled), *_item_shape(tensor)), dtype=tensor.dtype) for tensor in declared]
        # Context and memory serve one call at a time.
        with self._lock:
            self._log.errors.clear()
            self._device.upload(self._addresses[self._input.name], filled)
            if not self._context.set_input_shape(self._input.name, filled.shape):
                raise self._failure(f"refuses an input of shape {list(filled.shape)}")
            if not self._context.execute_async_v3(int(self._device.stream)):
                raise self._failure(f"fails on an input of shape {list(filled.shape)}")
            for result, tensor in zip(results, declared, strict=True):
                self._device.download(result, self._addresses[tensor.name])
            self._device.synchronize()
        return [result[: len(values)].astype(np.float32) for result in results]

    def _open_context(self, library: Any, plan: bytes) -> Any:
        """Open the engine, compare it with its sidecar and allocate its working memory."""
        self._log.errors.clear()
        self._runtime = library.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise self._failure("cannot be opened")
        self._check_tensors(library)
        self._check_batch()
        context = self._engine.create_execution_context()
        if context is None:
            raise self._failure("gets no working memory")
        return context

    def _check_tensors(self, library: Any) -> None:
        """Compare the engine's tensors with the sidecar, by which memory for them is allocated."""

        def described(is_input: bool, dtype: str, item_shape: Sequence[object]) -> str:
            return f"{'input' if is_input else 'output'} {dtype} [batch, {', '.join(map(str, item_shape))}]"

        names = [self._engine.get_tensor_name(place) for place in range(self._engine.num_io_tensors)]
        found = {
            name: described(
                self._engine.get_tensor_mode(name) == library.TensorIOMode.INPUT,
                np.dtype(library.nptype(self._engine.get_tensor_dtype(name))).name,
                tuple(self._engine.get_tensor_shape(name))[1:],
            )
            for name in names
        }
        tensors = (self._input, *self._sidecar.outputs)
        declared = {
            tensor.name: described(tensor is self._input, tensor.dtype, _item_shape(tensor)) for tensor in tensors
        }
        if found != declared:
            raise BundleError(
                f"{self._path} has the tensors {_listed(found)}, its sidecar declares {_listed(declared)}: rebuild it "
                f"with `{self._sidecar.rebuild_command}`"
            )

    def _check_batch(self) -> None:
        """Compare the batches that the engine takes with the sidecar."""
        least, _, most = (shape[0] for shape in self._engine.get_tensor_profile_shape(self._input.name, 0))
        batch = self._sidecar.batch
        if least > batch.min or most < batch.max:
            raise BundleError(
                f"{self._path} takes {least} to {most} items at a time, its sidecar declares {batch.min} to "
                f"{batch.max}: rebuild it with `{self._sidecar.rebuild_command}`"
            )

    def _failure(self, what: str) -> BundleError:
        reason = first_reason(self._log.errors) or "the library gives no reason"
        return BundleError(
            f"{self._path} {what} ({reason}): rebuild it on this machine with `{self._sidecar.rebuild_command}`"
        )


def read_fitting_sidecar(folder: Path, spec: GraphSpec, engine: EngineSpec) -> Sidecar:
    """Read the engine's sidecar; BundleError if it differs from the manifest."""
    if len(engine.companions) != 1:
        raise BundleError(
            f"{folder / engine.file} has {len(engine.companions)} companions, its sidecar is expected: "
            "export the bundle again"
        )
    path = folder / engine.companions[0]
    sidecar = read_sidecar(path)
    for what, found, declared in (
        ("graph", sidecar.graph, engine.graph),
        ("runtime", sidecar.runtime, engine.runtime),
        ("precision", sidecar.precision, engine.precision),
        ("inputs", _items(sidecar.inputs), _items(spec.inputs)),
        ("outputs", _items(sidecar.outputs), _items(spec.outputs)),
    ):
        if found != declared:
            raise BundleError(
                f"{path} differs from the manifest in the engine's {what}, they belong to different exports: rebuild "
                f"the engine with `{sidecar.rebuild_command}`"
            )
    return sidecar


def _items(tensors: list[TensorSpec]) -> list[TensorSpec]:
    """Tensors without the batch: an int8 graph may take one input at a time while its engine takes many."""
    return [replace(tensor, shape=tensor.shape[1:]) for tensor in tensors]


def _item_shape(tensor: TensorSpec) -> list[int]:
    return [size for size in tensor.shape[1:] if isinstance(size, int)]


def _size_bytes(tensor: TensorSpec, batch: int) -> int:
    return batch * int(np.prod(_item_shape(tensor))) * np.dtype(tensor.dtype).itemsize


def _listed(tensors: dict[str, str]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in sorted(tensors.items()))
