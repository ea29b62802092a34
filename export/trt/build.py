"""Build one engine in a separate process; a refusal becomes a one-sentence error."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cavsync.atomic import publish, write_bytes_atomically
from cavsync.deploy.runtime.reasons import LAST_LINE, reason
from cavsync.deploy.runtime.sidecar import MAX_BATCH, BatchProfile
from cavsync.deploy.runtime.tensorrt_library import PRODUCTS, first_reason
from cavsync.errors import ExportError
from cavsync.export.trt.library import Library
from cavsync.manifest import TensorSpec

logger = logging.getLogger(__name__)

SCRIPT = Path(__file__).with_name("builder_process.py")
# The variables that are needed to find libraries. Any others would change addresses in the builder's memory, and the
# engine's bytes depend on those.
PASSED_ON = (
    "PATH",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_HOME",
    "CUDA_PATH",
)
UNSUPPORTED = ("UNSUPPORTED_NODE", "UNSUPPORTED_NODE_ATTR")


@dataclass(frozen=True)
class BuiltEngine:
    """An engine file. `compute_capabilities` is empty if the library chose them; -1 in a shape is the batch."""

    path: Path
    compute_capabilities: list[str]
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


def build_engine(
    library: Library,
    onnx_path: Path,
    engine_path: Path,
    profile: BatchProfile,
    compute_capabilities: Sequence[str] | None,
    timing_cache: Path | None,
    *,
    precision: str = "",
) -> BuiltEngine:
    """Build the engine of a graph whose inputs have one open dimension, the batch, which is the first.

    The same graph, profile and targets give the same bytes on one machine, if the system lets a process switch address
    randomisation off (Linux does, but some containers forbid it). TensorRT measures kernels, so it also needs the same
    timing cache.

    Args:
        library: result of `find_library`.
        onnx_path: the graph; its arithmetic has the precision of its tensors.
        engine_path: file to write, whole or not at all.
        profile: batch sizes that the engine must take.
        compute_capabilities: "75" ... of the GPUs that the engine is for, or "current"; None is this machine's GPU for
            TensorRT and all GPUs since Ampere for TensorRT-RTX.
        timing_cache: file to read and update; ignored if the library measures nothing.
        precision: used in the message if the library refuses.

    Raises:
        ExportError: an impossible profile or target, or the library refuses the graph.
    """
    if not profile.is_ordered:
        raise ExportError(
            f"batch profile {profile.min}, {profile.opt}, {profile.max} is impossible: give a smallest, a usual and a "
            f"largest batch, each no smaller than the one before, from 1 to {MAX_BATCH}"
        )
    if not onnx_path.is_file():
        raise ExportError(f"{onnx_path} does not exist: export the graph before its engine")
    targets = library.resolve(None if compute_capabilities is None else list(compute_capabilities))
    cache = timing_cache if library.has_timing_cache else None
    request = {
        "module": PRODUCTS[library.runtime].module,
        "batch": [profile.min, profile.opt, profile.max],
        # TensorRT builds for its own GPU only.
        "compute_capabilities": targets if library.runtime == "tensorrt_rtx" else [],
        "timing_cache": cache is not None,
    }
    with tempfile.TemporaryDirectory(dir=engine_path.parent, prefix=".engine-") as name:
        folder = Path(name)
        if cache is not None and cache.is_file():
            shutil.copyfile(cache, folder / "timing.cache")
        result = _run_builder(folder, request, onnx_path)
        if not (folder / "engine.bin").is_file():
            raise ExportError(_refusal(library, onnx_path, targets, precision, timing_cache, result))
        if cache is not None:
            cache.parent.mkdir(parents=True, exist_ok=True)
            write_bytes_atomically(cache, (folder / "timing.cache").read_bytes())
        publish(folder / "engine.bin", engine_path)
    sides = {side: [TensorSpec(**tensor) for tensor in result[side]] for side in ("inputs", "outputs")}
    return BuiltEngine(engine_path, targets, **sides)


def _run_builder(folder: Path, request: dict[str, Any], onnx_path: Path) -> dict[str, Any]:
    """Run the builder; all files that it sees have the same names in every build."""
    (folder / "model.onnx").symlink_to(onnx_path.resolve())
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    ended = subprocess.run(
        [sys.executable, "-P", str(SCRIPT)],
        cwd=folder,
        env={**environment, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=False,
    )
    text = (ended.stdout + ended.stderr).decode(errors="replace")
    if text.strip():
        logger.debug("%s: %s", onnx_path, text.strip())
    if ended.returncode:
        how = f"was ended by signal {-ended.returncode}" if ended.returncode < 0 else "failed"
        raise ExportError(
            f"the TensorRT builder {how} on {onnx_path.name} ({reason(text, LAST_LINE)}): build where more memory "
            "is free, or report this with the output of -v"
        )
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return result


def _refusal(
    library: Library,
    onnx_path: Path,
    targets: list[str],
    precision: str,
    timing_cache: Path | None,
    result: dict[str, Any],
) -> str:
    """Return one sentence that explains why there is no engine."""
    if result.get("layout"):
        shapes = ", ".join(f"{tensor['name']} {tensor['shape']}" for tensor in result["inputs"])
        return (
            f"{onnx_path.name} has the inputs {shapes}, a batch engine needs the first dimension open (-1) and all "
            "others fixed: build engines of the encoders only"
        )
    if result.get("stale_cache"):
        return (
            f"timing cache {timing_cache} is of another GPU or release than {library.name} here: delete it or name "
            "another file"
        )
    if result.get("refused"):
        return (
            f"{library.name} does not read {onnx_path.name} ({_parser_reason(result['refused'])}): export the graph "
            "again with this version"
        )
    what = f"{onnx_path.name}{f' in {precision}' if precision else ''}"
    wanted = f" for compute capability {', '.join(targets)}" if targets else ""
    reason = first_reason(result["texts"]) or "it gives no reason"
    # Turing (compute capability 75) multiplies matrices in half precision only.
    advice = "export with --precision fp16, or leave 75 out" if "75" in targets else "export with another --precision"
    return f"{library.name} does not build {what}{wanted} ({reason}): {advice}"


def _parser_reason(refused: list[dict[str, str]]) -> str:
    error = refused[0]
    reason = first_reason([error["text"]])
    if error["code"] in UNSUPPORTED or not reason:
        reason = f"operator {error['operator']} is not supported"
    return f"node {error['node']}: {reason}" if error["node"] and error["node"] not in reason else reason
