"""Time and accuracy of the encoders on a CPU: PyTorch, ONNX Runtime and OpenVINO in every precision.

Uses the published model with random weights and single inputs; all variants alternate in one process. The centred
cosine is measured against PyTorch in float32, on instants of real clips if a folder of them is given.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import measure
import numpy as np
import onnx
import random_models
import torch
from rich.console import Console
from rich.table import Table

from cavsync.deploy.runtime.openvino_library import openvino_core
from cavsync.export.graphs import stages, write_graph
from cavsync.export.parity import Reference, centred_cosine
from cavsync.export.precision.candidates import for_tensorrt, int8_candidates
from cavsync.export.precision.half import in_half
from cavsync.export.runners import open_runner
from cavsync.export.samples import noise, sample_sets
from cavsync.media.files import find_media
from cavsync.model import CAVMAESync

RESULTS = measure.RESULTS / "encoders.jsonl"
EAGER, FLOAT32 = "PyTorch eager, float32", "ONNX Runtime, float32"
# Required speed-up of int8 over each of these.
TARGETS = {EAGER: 5.0, FLOAT32: 2.0}
Run = Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]


def eager(module: torch.nn.Module, *, bf16: bool) -> Run:
    """Return a function that runs the exported module in PyTorch."""

    def run(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            found: np.ndarray[Any, Any] = module(torch.from_numpy(values))[0].float().numpy()
        return found

    return run


def in_openvino(path: Path, precision: str) -> Run:
    """Return a function that runs an ONNX file in OpenVINO, in f32 or bf16."""
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    compiled = openvino_core().compile_model(str(path), "CPU", settings)
    request = compiled.create_infer_request()
    return lambda values: np.array(request.infer({0: values})[compiled.outputs[0]])


def ways(encoder: str, model: CAVMAESync, folder: Path, samples: tuple[Any, Any, Any]) -> dict[str, Run]:
    """Return every way to compute an encoder, by name."""
    stage = stages(model)[encoder]
    path = write_graph(stage, folder, {})
    half = folder / f"{encoder}.fp16.onnx"
    onnx.save(in_half(onnx.load(str(path)), "fp16"), str(half))
    found: dict[str, Run] = {
        EAGER: eager(stage.module, bf16=False),
        "PyTorch, bf16 autocast": eager(stage.module, bf16=True),
    }
    files = [(c.name, c.files[0], c.runtime) for c in int8_candidates(path, folder, *samples, print)]
    symmetric = for_tensorrt(path, folder / f"{encoder}.tensorrt.onnx", *samples)
    files += [("ONNX Runtime, fp16", half, "onnxruntime")]
    files += [("ONNX Runtime, static int8, symmetric", symmetric.files[0], "onnxruntime")]
    for name, file, runtime in files:
        found[name] = partial(_first_output, open_runner(file, runtime))
    return found | {f"OpenVINO, {precision}": in_openvino(path, precision) for precision in ("f32", "bf16")}


def _first_output(run: Callable[[Any], Sequence[Any]], values: Any) -> Any:
    return run(values)[0]


def measure_ways(runs: dict[str, Run], compare: Any, want: Any, turns: int) -> dict[str, dict[str, float]]:
    """Return the median milliseconds of single inputs, measured alternately, and the centred cosine."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 1):
        for name, run in runs.items():
            begin = time.perf_counter()
            run(compare[:1])
            if turn:
                times[name].append(1000 * (time.perf_counter() - begin))
    cosines = {
        name: centred_cosine(np.concatenate([run(sample[None]) for sample in compare]).astype(np.float64), want)
        for name, run in runs.items()
    }
    return {
        name: {"milliseconds": round(statistics.median(times[name]), 2), "centred_cosine": round(cosines[name], 5)}
        for name in runs
    }


def show(encoder: str, found: dict[str, dict[str, float]]) -> None:
    """Print the table, with the ratios to the baselines."""
    table = Table(title=f"{encoder}, single inputs")
    for column in ("way", "ms", "times eager", "times ORT float32", "centred cosine"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for name, row in found.items():
        ratios = [found[base]["milliseconds"] / row["milliseconds"] for base in TARGETS]
        cells = [f"{row['milliseconds']:.1f}", *(f"{ratio:.2f}" for ratio in ratios), f"{row['centred_cosine']:.4f}"]
        table.add_row(name, *cells)
    Console(width=110).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, help="folder of real clips (default: generated clips)")
    parser.add_argument("--turns", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = random_models.random_model(random_models.PUBLISHED)
        sets = sample_sets(model.config, find_media(options.clips) if options.clips else [])
        reference = Reference.of(model, sets.compare, noise(model.config))
        tables = {}
        for encoder in ("audio_encoder", "visual_encoder"):
            compare = sets.compare.inputs[encoder]
            want = reference.outputs[encoder][0][: len(compare)].astype(np.float64)
            runs = ways(encoder, model, folder, (sets.ranges.inputs[encoder], compare, want))
            tables[encoder] = measure_ways(runs, compare, want, options.turns)
            show(encoder, tables[encoder])
    row = {
        "encoders": tables,
        "samples": sets.compare.source,
        **measure.cpu_provenance("onnxruntime", "openvino", "nncf"),
    }
    measure.append_rows(RESULTS, [row])


if __name__ == "__main__":
    main()
