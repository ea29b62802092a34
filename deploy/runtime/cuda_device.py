"""Find the GPU of this machine; memory, copies and a stream on it. The only module of deploy that calls CUDA."""

from __future__ import annotations

import ctypes
import importlib
import sys
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from cavsync.errors import ConfigError

# Numbers of the driver's interface: CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
MAX_NAME_BYTES = 256


@dataclass(frozen=True)
class Gpu:
    """The first GPU that this process may use. `compute_capability` is written without the point: "89"."""

    name: str
    compute_capability: str


def find_gpu() -> tuple[Gpu | None, str]:
    """Ask the driver for the GPU; returns it, or None, and the finding as a clause for messages."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None, "no NVIDIA driver is installed"
    status = driver.cuInit(0)
    if status:
        return None, f"the NVIDIA driver does not start (CUDA error {status})"
    device = ctypes.c_int()
    status = driver.cuDeviceGet(ctypes.byref(device), 0)
    if status:
        return None, f"the NVIDIA driver shows no GPU (CUDA error {status})"
    numbers = []
    for attribute in (CAPABILITY_MAJOR, CAPABILITY_MINOR):
        number = ctypes.c_int()
        status = driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
        if status:
            return None, f"the GPU does not report its compute capability (CUDA error {status})"
        numbers.append(number.value)
    name = ctypes.create_string_buffer(MAX_NAME_BYTES)
    driver.cuDeviceGetName(name, MAX_NAME_BYTES, device)
    gpu = Gpu(name.value.decode(errors="replace") or "NVIDIA GPU", f"{numbers[0]}{numbers[1]}")
    return gpu, f"{gpu.name} with compute capability {gpu.compute_capability}"


class CudaDevice:
    """Memory and a separate stream on the GPU.

    Every method raises ConfigError if CUDA refuses: no driver, an old driver, no memory left, a failed kernel.
    """

    def __init__(self) -> None:
        try:
            self._runtime: Any = importlib.import_module("cuda.bindings.runtime")
        except (ImportError, OSError):
            raise ConfigError(
                "running an engine needs cuda-bindings, which cannot be imported here: install it with "
                "`pip install 'cavsync[trt]'`"
            ) from None
        # The default stream would make TensorRT wait for the whole device.
        self.stream = self._call("cudaStreamCreateWithFlags", self._runtime.cudaStreamNonBlocking)

    def allocate(self, size_bytes: int) -> int:
        """Allocate memory; returns its address."""
        return int(self._call("cudaMalloc", size_bytes))

    def upload(self, address: int, values: NDArray[Any]) -> None:
        """Start copying a contiguous array to the GPU; it must not change before `synchronize`."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, values.ctypes.data, values.nbytes, kind, self.stream)

    def download(self, values: NDArray[Any], address: int) -> None:
        """Start filling a contiguous array from the GPU; it holds the values after `synchronize`."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", values.ctypes.data, address, values.nbytes, kind, self.stream)

    def synchronize(self) -> None:
        """Wait until all work on the stream is done."""
        self._call("cudaStreamSynchronize", self.stream)

    def free(self, address: int) -> None:
        """Free memory. Errors are ignored, because nothing can be done about them."""
        self._runtime.cudaFree(address)

    def close(self) -> None:
        """Destroy the stream."""
        self._runtime.cudaStreamDestroy(self.stream)

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call a CUDA function; returns its value without the error code, None if it has no value."""
        error, *values = getattr(self._runtime, name)(*arguments)
        if error != self._runtime.cudaError_t.cudaSuccess:
            text = self._runtime.cudaGetErrorString(error)[1]
            raise ConfigError(
                f"{name} fails on this machine ({text.decode() if isinstance(text, bytes) else error}): check the "
                "driver and the free memory with nvidia-smi, or score with ONNX Runtime"
            )
        return values[0] if values else None
