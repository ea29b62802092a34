"""Stand-ins for the parts of CUDA, its driver and TensorRT that the runtime uses; device memory is host memory.

The engine takes `frames` (batch, 2, 3) uint8 in batches of 2 to 4 and returns the sums over the last dimension, times
`scale`, as `embedding` (batch, 2) float32, and once, twice and four times that as `patches` (batch, 3, 2) float16.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

PLAN = b"plan"


class FakeCuda(SimpleNamespace):
    """The used part of cuda.bindings.runtime: addresses are those of host buffers."""

    def __init__(self) -> None:
        kinds = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
        super().__init__(
            cudaError_t=SimpleNamespace(cudaSuccess=0),
            cudaMemcpyKind=kinds,
            cudaStreamNonBlocking=1,
            limit_bytes=1 << 20,
        )
        self.memory: dict[int, Any] = {}
        self.streams = 0

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[int, int]:  # noqa: N802
        self.streams += 1
        return 0, 77

    def cudaStreamDestroy(self, stream: int) -> tuple[int]:  # noqa: N802
        self.streams -= 1
        return (0,)

    def cudaMalloc(self, size_bytes: int) -> tuple[int, int | None]:  # noqa: N802
        if size_bytes > self.limit_bytes:
            return 2, None
        buffer = ctypes.create_string_buffer(size_bytes)
        self.memory[ctypes.addressof(buffer)] = buffer
        return 0, ctypes.addressof(buffer)

    def cudaFree(self, address: int) -> tuple[int]:  # noqa: N802
        del self.memory[address]
        return (0,)

    def cudaMemcpyAsync(self, to: int, source: int, size_bytes: int, kind: int, stream: int) -> tuple[int]:  # noqa: N802
        device = self.memory[to if kind == 1 else source]
        assert stream == 77
        assert size_bytes <= len(device)
        ctypes.memmove(to, source, size_bytes)
        return (0,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[int]:  # noqa: N802
        return (0,)

    def cudaGetErrorString(self, error: int) -> tuple[int, bytes]:  # noqa: N802
        return 0, b"out of memory"


class FakeContext:
    """An execution context that computes immediately instead of asynchronously."""

    def __init__(self, library: FakeTensorRT) -> None:
        self.library = library
        self.addresses: dict[str, int] = {}
        self.shape: tuple[int, ...] = ()

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        self.library.batches.append(shape[0])
        return 2 <= shape[0] <= 4

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 77
        if self.library.failing:
            self.library.log.log("ERROR", "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (out of luck)")
            return False
        count = self.shape[0]
        frames = _at(self.addresses["frames"], self.shape, np.uint8)
        sums = frames.astype(np.float32).sum(axis=2) * self.library.scale
        _at(self.addresses["embedding"], (count, 2), np.float32)[:] = sums
        _at(self.addresses["patches"], (count, 3, 2), np.float16)[:] = sums[:, None] * np.array([1, 2, 4])[:, None]
        return True


class FakeTensorRT(SimpleNamespace):
    """The module tensorrt_rtx. `batches` records the batches run; `failing`, `opens`, `dtypes`, `shapes`, `inputs` and
    `profile` provoke errors."""

    def __init__(self) -> None:
        dtypes = {"frames": np.uint8, "embedding": np.float32, "patches": np.float16}
        super().__init__(__version__="1.7.1.116", dtypes=dtypes, batches=[], failing=False, opens=True, scale=1.0)
        self.shapes = {"frames": (-1, 2, 3), "embedding": (-1, 2), "patches": (-1, 3, 2)}
        self.inputs = {"frames"}
        self.profile = [(2, 2, 3), (4, 2, 3), (4, 2, 3)]
        self.TensorIOMode = SimpleNamespace(INPUT="INPUT", OUTPUT="OUTPUT")
        self.ILogger = type("ILogger", (), {"INTERNAL_ERROR": "INTERNAL_ERROR", "ERROR": "ERROR"})
        self.nptype = lambda dtype: dtype
        self.log: Any = None

    # Modules are hashable, so that they can be cache keys.
    __hash__ = object.__hash__  # type: ignore[assignment]

    def Runtime(self, log: Any) -> Any:  # noqa: N802
        self.log = log
        return SimpleNamespace(deserialize_cuda_engine=self.open_engine)

    def open_engine(self, plan: bytes) -> Any:
        assert plan == PLAN
        if not self.opens:
            self.log.log("WARNING", "never mind")
            self.log.log(
                "ERROR", "[x.cpp::f::2] Error Code 1: Cuda Runtime (In f at /x.cpp:2 (cudaError 35: whatever))"
            )
            self.log.log(
                "ERROR", "IRuntime::f: Error Code 6: API Usage Error (the plan is stale. In f at /_src/x.cpp:3)"
            )
            return None
        names = list(self.dtypes)
        return SimpleNamespace(
            num_io_tensors=len(names),
            get_tensor_name=lambda place: names[place],
            get_tensor_dtype=lambda name: self.dtypes[name],
            get_tensor_mode=lambda name: "INPUT" if name in self.inputs else "OUTPUT",
            get_tensor_shape=lambda name: self.shapes[name],
            get_tensor_profile_shape=lambda name, profile: {"frames": self.profile}[name],
            create_execution_context=lambda: FakeContext(self),
        )


def _at(address: int, shape: tuple[int, ...], dtype: Any) -> Any:
    size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size_bytes).from_address(address), dtype=dtype).reshape(shape)


class FakeDriver:
    """libcuda with one GPU of compute capability 12.0, or the error in `failing`."""

    def __init__(self, failing: str) -> None:
        for name, value in (("cuInit", None), ("cuDeviceGet", 0), ("cuDeviceGetAttribute", None)):
            setattr(self, name, self.function(name, failing, value))

    def function(self, name: str, failing: str, value: int | None) -> Callable[..., int]:
        def call(target: Any, attribute: int = 0, *_: Any) -> int:
            if name == failing:
                return 100
            if name != "cuInit":
                target._obj.value = {75: 12, 76: 0}.get(attribute, value)
            return 0

        return call

    def cuDeviceGetName(self, target: Any, *_: Any) -> int:  # noqa: N802
        target.value = b"Some GPU"
        return 0
