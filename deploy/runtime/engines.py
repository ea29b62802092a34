"""Choose and open the engines of a bundle's encoders: a named one, or the best that runs on this machine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.cores import ConfinedEngine, confined
from cavsync.deploy.runtime.cuda_device import Gpu, find_gpu
from cavsync.deploy.runtime.onnx import CPU_PROVIDER, OnnxGraph
from cavsync.deploy.runtime.openvino import OpenVinoGraph
from cavsync.deploy.runtime.sidecar import Sidecar, is_same_release, read_sidecar, runs_on
from cavsync.deploy.runtime.tensorrt import TensorRtGraph, read_fitting_sidecar
from cavsync.deploy.runtime.tensorrt_library import import_library
from cavsync.errors import BundleError, ConfigError
from cavsync.manifest import ENCODERS, EngineSpec, GraphSpec, Manifest
from cavsync.manifest.specs import RUNTIMES

log = logging.getLogger(__name__)

ONNX_RUNTIME = "onnxruntime"
AUTO = "auto"
GPU_RUNTIMES = ("tensorrt", "tensorrt_rtx")


class Engine(Protocol):
    """Computes one graph."""

    def run(self, values: NDArray[Any], output: str) -> NDArray[np.float32]:
        """Return the output named `output` for the one input `values`, as float32; BundleError if that fails."""
        ...


@runtime_checkable
class SeveralOutputs(Protocol):
    """An engine that gives several outputs of one computation."""

    def run_all(self, values: NDArray[Any], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return the named outputs for the one input `values`, as float32; BundleError if that fails."""
        ...


def run_all(engine: Engine, values: NDArray[Any], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
    """Return several outputs, of one computation where the engine can, else of one each."""
    if isinstance(engine, SeveralOutputs):
        return engine.run_all(values, outputs)
    return [engine.run(values, output) for output in outputs]


def choose_engines(bundle: Path, manifest: Manifest, wanted: str = ONNX_RUNTIME) -> dict[str, EngineSpec]:
    """Return engines of the encoders by graph; ONNX Runtime computes the graphs that are missing in the result.

    wanted: a runtime, optionally with a precision ("openvino", "onnxruntime:bf16"), or "auto": TensorRT if an engine
    was built for this machine's GPU, else OpenVINO if it is installed, else ONNX Runtime; the choice is logged.

    Raises:
        ConfigError: the bundle has no such engine.
    """
    if wanted == AUTO:
        return _best(bundle, manifest)
    runtime, _, precision = wanted.partition(":")
    if runtime not in RUNTIMES:
        raise ConfigError(f"engine {wanted} is not known: use {AUTO}, {', '.join(RUNTIMES)}, or one with :precision")
    if runtime == ONNX_RUNTIME and precision in ("", manifest.precision):
        return {}
    found = _of(bundle, manifest, runtime, precision)
    missing = [graph for graph in manifest.encoders if graph not in found]
    if missing:
        kinds = sorted({f"{engine.runtime}:{engine.precision}" for engine in manifest.engines})
        raise ConfigError(
            f"{bundle} has no {wanted} engine of {missing[0]}, it has {ONNX_RUNTIME}:{manifest.precision}"
            f"{''.join(f', {kind}' for kind in kinds)}: choose one of these, or export it"
        )
    return found


def open_engine(
    folder: Path,
    manifest: Manifest,
    spec: GraphSpec,
    engine: EngineSpec | None,
    *,
    providers: Sequence[str] | None,
    threads: int | None,
    cores: Sequence[int] | None = None,
) -> Engine:
    """Open one graph, as ONNX if `engine` is None; errors as for the runtime's class."""
    is_on_cpu = not providers or providers[0] == CPU_PROVIDER
    if engine is not None and engine.precision == "bf16" and engine.runtime == ONNX_RUNTIME and is_on_cpu:
        raise ConfigError(
            f"{folder / engine.file} computes in bf16, which ONNX Runtime has on GPUs only: choose "
            "CUDAExecutionProvider or another engine"
        )
    opened: Engine
    with confined(cores):
        if engine is None or engine.runtime == ONNX_RUNTIME:
            file = spec.file if engine is None else engine.file
            graph = GraphSpec(file, spec.inputs, spec.outputs)
            opened = OnnxGraph(folder, graph, manifest.files[file], providers=providers, threads=threads, cores=cores)
        elif engine.runtime == "openvino":
            opened = OpenVinoGraph(folder, spec, engine, manifest.files, threads=threads)
        else:
            opened = TensorRtGraph(folder, spec, engine)
    return opened if cores is None else ConfinedEngine(opened, cores)


def check_sidecar(bundle: Path, manifest: Manifest, engine: EngineSpec) -> None:
    """Compare a TensorRT engine's sidecar with the manifest; needs neither GPU nor library.

    Raises:
        BundleError: they differ.
    """
    sidecar = read_fitting_sidecar(bundle, manifest.graphs[engine.graph], engine)
    if sidecar.engine_sha256 != manifest.files[engine.file].sha256:
        raise BundleError(
            f"{bundle / engine.file} is not the engine that its sidecar describes: rebuild it with "
            f"`{sidecar.rebuild_command}`"
        )


def _best(bundle: Path, manifest: Manifest) -> dict[str, EngineSpec]:
    gpu, finding = find_gpu()
    for runtime in (*GPU_RUNTIMES, "openvino"):
        found = _of(bundle, manifest, runtime, "")
        is_whole = all(graph in found for graph in manifest.encoders) and find_spec(runtime) is not None
        if is_whole and (runtime == "openvino" or all(_opens_here(bundle, engine, gpu) for engine in found.values())):
            log.info("encoders computed by %s (%s)", runtime, found[ENCODERS[0]].precision)
            return found
    log.info("encoders computed by %s (%s); %s", ONNX_RUNTIME, manifest.precision, finding)
    return {}


def _of(bundle: Path, manifest: Manifest, runtime: str, precision: str) -> dict[str, EngineSpec]:
    """Return the first engine of each encoder; among engines built for one GPU each, one for this machine's GPU."""
    found: dict[str, EngineSpec] = {}
    gpu = find_gpu()[0] if runtime in GPU_RUNTIMES else None
    for engine in manifest.engines:
        if engine.runtime == runtime and precision in ("", engine.precision):
            is_better = gpu is not None and runs_on(_sidecar(bundle, engine), gpu.compute_capability)
            if engine.graph not in found or is_better:
                found[engine.graph] = engine
    return found


def _opens_here(bundle: Path, engine: EngineSpec, gpu: Gpu | None) -> bool:
    """Whether a TensorRT engine was built for this GPU and by the installed release."""
    if gpu is None:
        return False
    sidecar = _sidecar(bundle, engine)
    installed = str(import_library(engine.runtime).__version__)
    return runs_on(sidecar, gpu.compute_capability) and is_same_release(sidecar, installed)


def _sidecar(bundle: Path, engine: EngineSpec) -> Sidecar:
    if not engine.companions:
        raise BundleError(f"{bundle / engine.file} is declared without a sidecar: export the bundle again")
    return read_sidecar(bundle / engine.companions[0])
