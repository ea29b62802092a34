"""Find the TensorRT library that builds engines, and the GPUs that it builds for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, get_args

from cavsync.deploy.runtime.cuda_device import Gpu, find_gpu
from cavsync.deploy.runtime.tensorrt_library import PRODUCTS, import_library
from cavsync.errors import ConfigError, ExportError

Choice = Literal["auto", "tensorrt", "rtx"]
CURRENT = "current"
# CUDA's major version is part of the names of NVIDIA's packages.
CUDA_VERSIONS = ("12", "13", "14")


@dataclass(frozen=True)
class Library:
    """TensorRT or TensorRT-RTX, as installed here.

    `offered` are the compute capabilities ("89") that it builds for without such a GPU; none for full TensorRT, which
    builds for this machine's GPU only. `gpu` is this machine's. `cuda_version` is empty if unknown.
    """

    runtime: str
    version: str
    cuda_version: str
    offered: tuple[str, ...]
    gpu: Gpu | None

    @property
    def name(self) -> str:
        """Name and version for messages."""
        return f"{PRODUCTS[self.runtime].name} {self.version}"

    @property
    def has_timing_cache(self) -> bool:
        """Whether it keeps measured times of kernels; TensorRT-RTX measures none."""
        return self.runtime == "tensorrt"

    def resolve(self, wanted: list[str] | None) -> list[str]:
        """Return the compute capabilities to build for; empty leaves the choice to TensorRT-RTX.

        `wanted` may be ["current"] for this machine's GPU.

        Raises:
            ExportError: the library does not build for one of them here.
        """
        if self.runtime == "tensorrt":
            return self._resolve_own(wanted)
        if wanted and CURRENT in wanted and (self.gpu is None or len(wanted) > 1):
            raise ExportError(
                "compute capability current stands for the one GPU of this machine and cannot be used here: name "
                f"capabilities instead, {self.name} builds for {_listed(self.offered)}"
            )
        capabilities = [self.gpu.compute_capability if self.gpu and item == CURRENT else item for item in wanted or []]
        for capability in capabilities:
            if capability not in self.offered:
                raise ExportError(
                    f"{self.name} does not build for compute capability {capability}, it is for GeForce and RTX GPUs "
                    f"({_listed(self.offered)}) and for no data-centre GPU such as 90 or 100: name one of these, or "
                    "build on a machine with that GPU with --trt tensorrt"
                )
        return list(dict.fromkeys(capabilities))

    def _resolve_own(self, wanted: list[str] | None) -> list[str]:
        if self.gpu is None:
            raise ExportError(
                f"{self.name} builds on the GPU that will run the engine and this machine has none: build there, or "
                "ahead of time with --trt rtx"
            )
        own = self.gpu.compute_capability
        if wanted and set(wanted) - {own, CURRENT}:
            raise ExportError(
                f"{self.name} builds only for this machine's GPU, which has compute capability {own}, not for "
                f"{_listed(wanted)}: build on that GPU, or ahead of time with --trt rtx"
            )
        return [own]


def find_library(choice: Choice) -> tuple[Library, str]:
    """Return the library to build with, and a sentence for the user that names it and the reason.

    "auto" takes full TensorRT if it is installed and a GPU is usable, else TensorRT-RTX.

    Raises:
        ExportError: the library is not installed, or full TensorRT was chosen on a machine without a GPU.
    """
    if choice not in get_args(Choice):
        raise ExportError(f"TensorRT library {choice} is not known: use {', '.join(get_args(Choice))}")
    gpu, finding = find_gpu()
    if choice == "tensorrt":
        full = _open("tensorrt", gpu)
        full.resolve(None)
        return full, f"{full.name} builds for this machine's {finding}, as asked for"
    reason = "as asked for" if choice == "rtx" else f"because {finding}"
    if choice == "auto" and gpu is not None:
        try:
            full = _open("tensorrt", gpu)
        except ExportError:
            reason = "because full TensorRT is not installed"
        else:
            return full, f"{full.name} builds for this machine's {finding}"
    rtx = _open("tensorrt_rtx", gpu)
    chosen = f"{rtx.name} builds ahead of time, {reason}"
    if gpu is not None and gpu.compute_capability not in rtx.offered:
        chosen += f"; its engines do not run on this machine's {gpu.name}"
    return rtx, chosen


def _open(runtime: str, gpu: Gpu | None) -> Library:
    try:
        module = import_library(runtime)
    except ConfigError as error:
        raise ExportError(str(error)) from None
    return Library(runtime, str(module.__version__), _cuda_version(runtime), _offered(module, runtime), gpu)


def _offered(module: Any, runtime: str) -> tuple[str, ...]:
    """Return what the library itself lists, so that new GPUs of a later release need no change here."""
    if runtime == "tensorrt":
        return ()
    found = [re.fullmatch(r"SM(\d+)", name) for name in module.ComputeCapability.__members__]
    return tuple(sorted((match[1] for match in found if match), key=int))


def _cuda_version(runtime: str) -> str:
    for number in CUDA_VERSIONS:
        try:
            version(f"{PRODUCTS[runtime].module}_cu{number}")
        except PackageNotFoundError:
            continue
        return number
    return ""


def _listed(items: list[str] | tuple[str, ...]) -> str:
    return ", ".join(items)
