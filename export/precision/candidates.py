"""Quantize to int8 by every installed method, and measure speed and accuracy of each on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from cavsync.errors import ExportError
from cavsync.export.parity import LIMITS, centred_cosine
from cavsync.export.precision import openvino
from cavsync.export.precision.int8 import as_matmul, quantize_dynamically, quantize_statically, quantize_to_fp8
from cavsync.export.precision.sensitivity import most_sensitive
from cavsync.export.runners import open_runner

Array = NDArray[Any]
Say = Callable[[str], None]

GOAL = LIMITS["int8"].centred_cosine
# Numbers of layers kept in float32, the most sensitive first, tried until the goal is met.
KEPT_LAYERS = (0, 2, 8, 24)
TIMED_TURNS = 7


@dataclass(frozen=True)
class EncoderVariant:
    """One form of an encoder: its files (the first is opened), speed and accuracy.

    `milliseconds` is the median for single inputs, timed in turns with the other candidates; `centred_cosine` compares
    the embedding with float32; `float32_layers` were not quantized. With `is_single` it takes one input at a time.
    """

    name: str
    runtime: str
    precision: str
    files: tuple[Path, ...]
    milliseconds: float
    centred_cosine: float
    float32_layers: tuple[str, ...]
    is_single: bool = False

    @property
    def reaches_goal(self) -> bool:
        """Whether it is accurate enough to be used."""
        return self.precision not in ("int8", "fp8") or self.centred_cosine >= GOAL

    def row(self, chosen: bool) -> dict[str, Any]:
        """Its row in the bundle's table."""
        return {
            "name": self.name,
            "runtime": self.runtime,
            "precision": self.precision,
            "milliseconds": round(self.milliseconds, 2),
            "centred_cosine": round(self.centred_cosine, 5),
            "size_bytes": sum(path.stat().st_size for path in self.files),
            "float32_layers": list(self.float32_layers),
            "chosen": chosen,
        }


@dataclass(frozen=True)
class _Method:
    """A method of quantizing: `quantize(source, target, ranges, exclude)` writes `target` and its companions."""

    name: str
    runtime: str
    ending: str
    quantize: Callable[[Path, Path, Array, Sequence[str]], None]
    is_single: bool
    precision: str = "int8"


METHODS = (
    _Method("ONNX Runtime, dynamic int8", "onnxruntime", ".dynamic.onnx",
         lambda source, target, _, exclude: quantize_dynamically(source, target, exclude), True),
    _Method("ONNX Runtime, static int8", "onnxruntime", ".static.onnx", quantize_statically, False),
    _Method("OpenVINO, NNCF int8", "openvino", ".openvino.xml", openvino.quantize, False),
)  # fmt: skip


def int8_candidates(
    source: Path, scratch: Path, ranges: Array, compare: Array, want: Array, on_stage: Say
) -> list[EncoderVariant]:
    """Quantize the float32 graph `source` by every method, keep layers in float32 as needed, and time all in turns.

    ranges, compare: inputs (N, ...) for finding ranges and for comparing; want: the model's embeddings (N, D) of the
    latter. The float32 graph is the first candidate returned. Files are written to `scratch`.
    """
    prepared = scratch / f"{source.stem}.matmul.onnx"
    onnx.save(as_matmul(onnx.load(str(source))), str(prepared))
    made = [EncoderVariant("ONNX Runtime, float32", "onnxruntime", "fp32", (source,), 0.0, 1.0, ())]
    ranking: list[str] = []
    for method in METHODS:
        if method.runtime == "openvino" and not openvino.is_installed():
            on_stage("  OpenVINO and NNCF are not installed: left out")
            continue
        found, ranking = _reach_goal(
            method, prepared, scratch / f"{source.stem}{method.ending}", ranges, compare, want, ranking
        )
        kept = f", {len(found.float32_layers)} layers kept in float32" if found.float32_layers else ""
        on_stage(f"  {source.stem}: {method.name}, centred cosine {found.centred_cosine:.4f}{kept}")
        made.append(found)
    prepared.unlink()
    return _timed(made, compare[:1])


def fastest(candidates: Sequence[EncoderVariant], runtime: str | None = None) -> EncoderVariant:
    """Return the fastest int8 candidate that reaches the goal, of one runtime or of all; ExportError if none does."""
    fit = [c for c in candidates if c.precision == "int8" and c.reaches_goal and runtime in (None, c.runtime)]
    if not fit:
        raise _too_far(candidates)
    return min(fit, key=lambda candidate: candidate.milliseconds)


def _too_far(candidates: Sequence[EncoderVariant]) -> ExportError:
    quantized = [candidate for candidate in candidates if candidate.precision != "fp32"]
    best = max(quantized, key=lambda candidate: candidate.centred_cosine)
    return ExportError(
        f"no {best.precision} form of {candidates[0].files[0].stem} is close enough to float32: the best centred "
        f"cosine is {best.centred_cosine:.4f}, expected {GOAL}; use another --precision, or calibrate on clips like "
        "those to be scored"
    )


def fastest_runtime(encoders: Mapping[str, Sequence[EncoderVariant]]) -> str:
    """Return the runtime that computes all encoders in int8 in the least time; ExportError as for `fastest`."""
    times = {}
    for runtime in ("onnxruntime", "openvino"):
        try:
            times[runtime] = sum(fastest(found, runtime).milliseconds for found in encoders.values())
        except ExportError:
            # ONNX Runtime has to reach it, because every bundle holds its graph.
            if runtime == "onnxruntime":
                raise
    return min(times, key=lambda runtime: times[runtime])


def for_tensorrt(
    source: Path, target: Path, ranges: Array, compare: Array, want: Array, precision: str = "int8"
) -> EncoderVariant:
    """Quantize a float32 graph to int8 or fp8 for TensorRT: symmetric Q/DQ pairs.

    Arguments as for `int8_candidates`.

    Raises:
        ExportError: it does not reach the goal.
    """
    prepared = target.with_suffix(".matmul.onnx")
    onnx.save(as_matmul(onnx.load(str(source))), str(prepared))
    quantize = quantize_to_fp8 if precision == "fp8" else partial(quantize_statically, symmetric=True)
    method = _Method(f"TensorRT, static {precision}", "onnxruntime", "", quantize, False, precision)
    found, _ = _reach_goal(method, prepared, target, ranges, compare, want, [])
    prepared.unlink()
    if not found.reaches_goal:
        raise _too_far([found])
    return found


def _reach_goal(
    method: _Method, source: Path, target: Path, ranges: Array, compare: Array, want: Array, ranking: list[str]
) -> tuple[EncoderVariant, list[str]]:
    """Return the candidate with as few float32 layers as the goal needs, and the ranking of layers if it was needed."""
    for count in KEPT_LAYERS:
        if count and not ranking:
            ranking = most_sensitive(source, ranges)
        exclude = ranking[:count]
        method.quantize(source, target, ranges, exclude)
        run = open_runner(target, method.runtime, method.precision)
        got = np.concatenate([run(sample[np.newaxis])[0] for sample in compare])
        cosine = centred_cosine(got.astype(np.float64), want.astype(np.float64))
        if cosine >= GOAL:
            break
    weights = target.with_suffix(".bin")
    files = (target, weights) if weights.exists() else (target,)
    return EncoderVariant(
        method.name, method.runtime, method.precision, files, 0.0, cosine, tuple(exclude), method.is_single
    ), ranking


def _timed(candidates: Sequence[EncoderVariant], sample: Array) -> list[EncoderVariant]:
    """Add the median times; the candidates take turns, so that a busy machine slows all of them alike."""
    runs = [open_runner(candidate.files[0], candidate.runtime) for candidate in candidates]
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(TIMED_TURNS + 1):
        for place, run in enumerate(runs):
            begin = time.perf_counter()
            run(sample)
            if turn:
                times[place].append(1000 * (time.perf_counter() - begin))
    return [
        EncoderVariant(**{**vars(candidate), "milliseconds": statistics.median(found)})
        for candidate, found in zip(candidates, times, strict=True)
    ]
