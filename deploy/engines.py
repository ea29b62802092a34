"""Which of a bundle's engines computes its encoders: the one that is named, or the best that can run here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.cuda_device import find_gpu
from cavsync.deploy.engine import Graph
from cavsync.deploy.openvino_runtime import OpenVINOGraph
from cavsync.deploy.sidecar import read_sidecar
from cavsync.deploy.tensorrt_runtime import TensorRTGraph
from cavsync.errors import ConfigError
from cavsync.manifest import RUNTIMES, EngineSpec, GraphSpec, Manifest

log = logging.getLogger(__name__)

ENCODERS = ("audio_encoder", "visual_encoder")
ONNX_RUNTIME = "onnxruntime"
AUTO = "auto"
GPU_RUNTIMES = ("tensorrt", "tensorrt_rtx")


class Engine(Protocol):
    """Computes one graph, on whatever it runs."""

    def run(self, values: NDArray[Any], output: str) -> NDArray[np.float32]:
        """Value of the output named `output` for the one input `values`, as float32; BundleError where it fails."""
        ...


def choose_engines(bundle: Path, manifest: Manifest, wanted: str = ONNX_RUNTIME) -> dict[str, EngineSpec]:
    """Engines of the encoders by graph; a graph that is not in the answer is computed as ONNX by ONNX Runtime.

    wanted: a runtime, perhaps with a precision ("openvino", "onnxruntime:bf16"), or "auto": TensorRT where there is a
    GPU that it was built for, else OpenVINO where it is installed, else ONNX Runtime; which one is logged.

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
    missing = [graph for graph in ENCODERS if graph not in found]
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
) -> Engine:
    """Open one graph, as ONNX where there is no engine for it. Errors are those of the runtime's own class."""
    if engine is None or engine.runtime == ONNX_RUNTIME:
        file = spec.file if engine is None else engine.file
        graph = GraphSpec(file, spec.inputs, spec.outputs)
        return Graph(folder, graph, manifest.files[file], providers=providers, threads=threads)
    if engine.runtime == "openvino":
        return OpenVINOGraph(folder, spec, engine, manifest.files, threads=threads)
    return TensorRTGraph(folder, spec, engine)


def _best(bundle: Path, manifest: Manifest) -> dict[str, EngineSpec]:
    gpu, finding = find_gpu()
    can_run = {runtime: gpu is not None and find_spec(runtime) is not None for runtime in GPU_RUNTIMES}
    can_run["openvino"] = find_spec("openvino") is not None
    for runtime, is_there in can_run.items():
        found = _of(bundle, manifest, runtime, "")
        if is_there and all(graph in found for graph in ENCODERS) and _fits_gpu(bundle, found, gpu):
            log.info("encoders computed by %s (%s)", runtime, found[ENCODERS[0]].precision)
            return found
    log.info("encoders computed by %s (%s); %s", ONNX_RUNTIME, manifest.precision, finding)
    return {}


def _of(bundle: Path, manifest: Manifest, runtime: str, precision: str) -> dict[str, EngineSpec]:
    """The first engine of each encoder; of those built for one GPU each, the one for the GPU at hand."""
    found: dict[str, EngineSpec] = {}
    capability = getattr(find_gpu()[0], "compute_capability", None) if runtime in GPU_RUNTIMES else None
    for engine in manifest.engines:
        if engine.runtime != runtime or precision not in ("", engine.precision):
            continue
        is_better = capability is not None and capability in _capabilities(bundle, engine)
        if engine.graph not in found or is_better:
            found[engine.graph] = engine
    return found


def _fits_gpu(bundle: Path, found: dict[str, EngineSpec], gpu: Any) -> bool:
    engines = [engine for engine in found.values() if engine.runtime in GPU_RUNTIMES]
    named = [_capabilities(bundle, engine) for engine in engines]
    return all(not capabilities or gpu.compute_capability in capabilities for capabilities in named)


def _capabilities(bundle: Path, engine: EngineSpec) -> list[str]:
    return read_sidecar(bundle / engine.companions[0]).compute_capabilities if engine.companions else []
