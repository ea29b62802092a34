"""Write a graph's engines, each with its sidecar, into a bundle's folder: all of them or none."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from cavsync.atomic import publish
from cavsync.deploy.runtime.sidecar import BatchProfile, Sidecar, rebuild_command
from cavsync.errors import ExportError
from cavsync.export.trt.build import BuiltEngine, build_engine
from cavsync.export.trt.library import Library
from cavsync.manifest import EngineSpec, GraphSpec, TensorSpec, sha256_file


def write_engines(
    folder: Path,
    graph_name: str,
    onnx_path: Path,
    spec: GraphSpec,
    precision: str,
    library: Library,
    profile: BatchProfile,
    compute_capabilities: Sequence[str] | None,
    timing_cache: Path | None = None,
) -> list[EngineSpec]:
    """Build one engine per compute capability, or one for the library's default, into `folder`.

    The files are `<graph>.<runtime>[.sm<capability>].engine` and the same name with `.json` appended. Arguments as for
    `build_engine`; `graph_name` and `spec` are the manifest's.

    Raises:
        ExportError: the library does not build one of them, or an engine differs from `spec`. Then `folder` is
            unchanged.
    """
    # Resolve all targets first, so that an impossible one is reported before minutes of building.
    wanted = [library.resolve([item]) for item in compute_capabilities or []] or [library.resolve(None)]
    specs = []
    with tempfile.TemporaryDirectory(dir=folder, prefix=".engines-") as name:
        scratch = Path(name)
        for targets in dict.fromkeys(map(tuple, wanted)):
            built = build_engine(
                library, onnx_path, scratch / "engine", profile, targets or None, timing_cache, precision=precision
            )
            _check_tensors(onnx_path, spec, built)
            file = _file_name(graph_name, library, built)
            built.path.rename(scratch / file)
            sidecar = _describe(scratch / file, graph_name, onnx_path, spec, precision, library, profile, built)
            (scratch / f"{file}.json").write_bytes(sidecar.to_bytes())
            specs.append(EngineSpec(graph_name, library.runtime, precision, file, [f"{file}.json"]))
        for path in sorted(scratch.iterdir()):
            publish(path, folder / path.name)
    return specs


def _file_name(graph_name: str, library: Library, built: BuiltEngine) -> str:
    parts = [graph_name, library.runtime, *(f"sm{item}" for item in built.compute_capabilities), "engine"]
    return ".".join(parts)


def _describe(
    path: Path,
    graph_name: str,
    onnx_path: Path,
    spec: GraphSpec,
    precision: str,
    library: Library,
    profile: BatchProfile,
    built: BuiltEngine,
) -> Sidecar:
    # TensorRT builds for this machine's GPU, so the command need not name one.
    named = built.compute_capabilities if library.offered else []
    return Sidecar(
        graph=graph_name,
        runtime=library.runtime,
        library_version=library.version,
        cuda_version=library.cuda_version,
        precision=precision,
        compute_capabilities=built.compute_capabilities,
        inputs=spec.inputs,
        outputs=spec.outputs,
        batch=profile,
        engine_sha256=sha256_file(path),
        source_sha256=sha256_file(onnx_path),
        size_bytes=path.stat().st_size,
        rebuild_command=rebuild_command(library.runtime, precision, named, profile),
    )


def _check_tensors(onnx_path: Path, spec: GraphSpec, built: BuiltEngine) -> None:
    """Raise ExportError unless names, types and fixed dimensions of the tensors are the manifest's."""
    for side, declared, found in (("input", spec.inputs, built.inputs), ("output", spec.outputs, built.outputs)):
        if [_plain(tensor) for tensor in declared] != [_plain(tensor) for tensor in found]:
            raise ExportError(
                f"{onnx_path.name} gives an engine with the {side}s {_listed(found)}, the manifest declares "
                f"{_listed(declared)}: export the graph again"
            )


def _plain(tensor: TensorSpec) -> tuple[str, str, list[int]]:
    return tensor.name, tensor.dtype, [size if isinstance(size, int) else -1 for size in tensor.shape]


def _listed(tensors: list[TensorSpec]) -> str:
    return ", ".join(f"{tensor.name} ({tensor.dtype} {tensor.shape})" for tensor in tensors)
