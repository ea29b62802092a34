"""Build TensorRT engines of a bundle's encoders from graphs whose parity was checked."""

from __future__ import annotations

from pathlib import Path

from cavsync.deploy.runtime.sidecar import FIRST_WITH_FP8, read_sidecar, runs_on
from cavsync.deploy.runtime.tensorrt import TensorRtGraph
from cavsync.errors import ConfigError
from cavsync.export.artefacts import Artefacts
from cavsync.export.graphs import stages
from cavsync.export.parity import OUTPUTS, Array
from cavsync.export.precision.candidates import for_tensorrt
from cavsync.export.trt.engines import write_engines
from cavsync.export.trt.library import Library
from cavsync.export.trt.options import TensorRTOptions
from cavsync.manifest import EngineSpec, GraphSpec

# The precision of "auto" for engines: half the size of float32, and no calibration needed.
AUTO = "fp16"


def write_tensorrt(
    artefacts: Artefacts, paths: dict[str, Path], precision: str, library: Library, options: TensorRTOptions
) -> None:
    """Build the engines of all encoders in `precision` from their float32 graphs, and check those that run here.

    Raises:
        ExportError: a graph or engine departs from the model, or the library refuses to build.
    """
    precision = AUTO if precision == "auto" else precision
    specs = {name: stage.spec for name, stage in stages(artefacts.model).items()}
    sources = _graphs(artefacts, paths, precision)
    for name in artefacts.encoders:
        artefacts.on_stage(f"building {library.name} engines of {name} in {precision}")
        engines = write_engines(
            artefacts.folder,
            name,
            sources[name],
            specs[name],
            precision,
            library,
            options.profile,
            list(options.compute_capabilities) or None,
            options.timing_cache,
        )
        artefacts.engines += engines
        for engine in engines:
            if _runs_here(artefacts.folder, engine, library):
                _check(artefacts, specs[name], engine)
            else:
                artefacts.on_stage(f"  {engine.file} is built but not run: there is no such GPU here")
                artefacts.not_run.append(engine.file)


def check_options(precision: str, library: Library, options: TensorRTOptions) -> None:
    """Check what is known before anything is computed.

    Raises:
        ExportError: the library does not build for one of the GPUs.
        ConfigError: options contradict each other.
    """
    for capability in options.compute_capabilities:
        targets = library.resolve([capability])
        if precision == "fp8" and any(int(target) < FIRST_WITH_FP8 for target in targets):
            raise ConfigError(
                f"GPUs of compute capability {capability} have no fp8, those from {FIRST_WITH_FP8} on do: use another "
                "--precision or name another GPU"
            )
    if options.timing_cache is not None and not library.has_timing_cache:
        raise ConfigError(f"{library.name} times no kernels and has no timing cache: leave out --timing-cache")


def _graphs(artefacts: Artefacts, paths: dict[str, Path], precision: str) -> dict[str, Path]:
    """Return graphs in `precision` for TensorRT, checked against the model."""
    if precision == "fp32":
        return paths
    if precision not in ("int8", "fp8"):
        made = {name: artefacts.work / f"{name}.{precision}.onnx" for name in artefacts.encoders}
        return made if all(path.exists() for path in made.values()) else artefacts.write_half(paths, precision)
    made = {}
    for name in artefacts.encoders:
        artefacts.on_stage(f"quantizing {name} for TensorRT")
        made[name] = artefacts.work / f"{name}.tensorrt.onnx"
        for_tensorrt(paths[name], made[name], *artefacts.int8_samples(name), precision)
        artefacts.check(f"{name}, {precision} for TensorRT", name, made[name], "onnxruntime", precision, paths[name])
    return made


def _runs_here(folder: Path, engine: EngineSpec, library: Library) -> bool:
    gpu = library.gpu
    return gpu is not None and runs_on(read_sidecar(folder / engine.companions[0]), gpu.compute_capability)


def _check(artefacts: Artefacts, spec: GraphSpec, engine: EngineSpec) -> None:
    """Check the parity of an engine on this machine's GPU."""
    artefacts.on_stage(f"checking parity of {engine.file}")
    graph = TensorRtGraph(artefacts.folder, spec, engine)

    def run(values: Array) -> list[Array]:
        return [graph.run(values, output) for output in OUTPUTS[engine.graph]]

    try:
        results = artefacts.reference.check(engine.file, engine.graph, run, engine.precision)
        artefacts.require(results, lambda _: f"the graph that {engine.file} was built from agrees")
    finally:
        graph.close()
