"""Proof that the written graphs compute what the model computes, on sound and pictures like real ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from cavsync.data.logmel import AUDIO_MEAN, AUDIO_STD, NUM_MEL_BINS, log_mel
from cavsync.data.synth import ClipSpec, render
from cavsync.errors import ExportError
from cavsync.export.graphs import Stage
from cavsync.manifest import GraphSpec
from cavsync.media.align import SAMPLE_RATE_HZ, nearest_index, tubelet_times_seconds
from cavsync.media.picture import resize_center_crop
from cavsync.model import CAVMAESync

Array = NDArray[Any]

SAMPLES = 6
RANDOM_SAMPLES = 3
# float32 through another order of summation: relative to the largest value of the output.
MAX_RELATIVE_ERROR = 1e-4
MIN_COSINE = 0.99999
# What sets samples apart must survive too, where there is more of it than rounding.
MIN_CENTRED_COSINE = 0.999
MIN_SPREAD = 1e-3
# Log-mel values are logarithms: an absolute error is already relative.
MAX_LOG_MEL_ERROR = 2e-2
MEAN_LOG_MEL_ERROR = 1e-4


@dataclass(frozen=True)
class OutputParity:
    """One output against the model's: absolute errors, the largest relative to the output's range, and the worst
    sample's cosine, plain and after removing the mean over the samples. `batch_error` compares batch 1 with batch N."""

    graph: str
    output: str
    max_abs_error: float
    mean_abs_error: float
    relative_error: float
    cosine: float
    centred_cosine: float
    batch_error: float
    passed: bool


def check_parity(folder: Path, stages: Mapping[str, Stage], model: CAVMAESync) -> list[OutputParity]:
    """Run every graph of `folder` in ONNX Runtime beside its module.

    Raises:
        ExportError: an output that departs, with its figures.
    """
    inputs = parity_inputs(model)
    results: list[OutputParity] = []
    for name, stage in stages.items():
        results += _check_graph(folder, name, stage, model, inputs[name])
    failed = [result for result in results if not result.passed]
    if failed:
        worst = max(failed, key=_departure)
        raise ExportError(
            f"the exported {worst.graph} does not compute what the model computes: output {worst.output} has a "
            f"largest error of {worst.max_abs_error:.3g}, a cosine of {worst.cosine:.6f}, and differs by "
            f"{worst.batch_error:.3g} of its range between batch sizes; no bundle was written, "
            "report this with the configuration"
        )
    return results


def parity_inputs(model: CAVMAESync) -> dict[str, Array]:
    """Realistic inputs, then random ones: quiet noise and silence, log-mel noise, pictures of noise."""
    config, random = model.config, np.random.default_rng(11)
    quiet = random.normal(0, 1e-3, (1, SAMPLE_RATE_HZ))
    noise = random.normal(AUDIO_MEAN, AUDIO_STD, (RANDOM_SAMPLES, config.audio_length, NUM_MEL_BINS))
    pictures = (RANDOM_SAMPLES, config.num_frames, config.img_size, config.img_size, 3)
    extra = {
        "audio_frontend": np.concatenate([quiet, np.zeros((1, SAMPLE_RATE_HZ // 4))], axis=1).astype(np.float32),
        "audio_encoder": noise.astype(np.float32),
        "visual_encoder": random.integers(0, 256, pictures, dtype=np.uint8),
    }
    return {
        name: np.concatenate([array, extra[name]], axis=1 if name == "audio_frontend" else 0)
        for name, array in realistic_inputs(model).items()
    }


def realistic_inputs(model: CAVMAESync) -> dict[str, Array]:
    """A generated clip as each graph's input: sound (1, n), raw log-mel segments and tubelets of pictures."""
    config = model.config
    length_seconds = max(3.0, config.audio_length / 100 + 1.0)
    clip = render(ClipSpec(seed=11, family="impacts", duration_seconds=length_seconds))
    waveform = np.ascontiguousarray(clip.audio.mean(axis=1), dtype=np.float32)
    features = reference_log_mel(waveform)
    starts = np.linspace(0, len(features) - config.audio_length, SAMPLES).astype(int)
    times, pictures = [], []
    for pts_seconds, rgb in clip.frames:
        times.append(pts_seconds)
        pictures.append(resize_center_crop(rgb, config.img_size))
    centres = np.linspace(0.2, times[-1] - 0.2, SAMPLES)
    wanted = tubelet_times_seconds(centres, config.num_frames, config.frame_step_seconds)
    return {
        "audio_frontend": waveform[None],
        "audio_encoder": np.stack([features[start : start + config.audio_length] for start in starts]),
        "visual_encoder": np.stack(pictures)[nearest_index(np.asarray(times), wanted)],
    }


def reference_log_mel(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """torchaudio's features of samples (n,), (frames, 128)."""
    features: NDArray[np.float32] = log_mel(torch.from_numpy(waveform)).numpy()
    return features


@torch.no_grad()
def reference_outputs(name: str, model: CAVMAESync, array: Array) -> list[Array]:
    """What a graph should give, computed without the modules that were exported."""
    if name == "audio_frontend":
        return [reference_log_mel(array[0])[None]]
    # Written out again on purpose: constants from the papers, not from the exported modules.
    if name == "audio_encoder":
        encoded = model.encode_audio((torch.from_numpy(array) + 5.081) / 4.4849)
    else:
        pictures = torch.from_numpy(array).permute(0, 1, 4, 2, 3).double() / 255
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        encoded = model.encode_frames(((pictures - mean.view(3, 1, 1)) / std.view(3, 1, 1)).float())
    pooled = encoded.pooled / encoded.pooled.norm(dim=-1, keepdim=True)
    return [pooled.numpy(), encoded.patches.numpy()]


def describe(results: list[OutputParity]) -> dict[str, Any]:
    """Content of parity.json."""
    return {
        "reference": "the PyTorch model and torchaudio's Kaldi filter bank, float32 on the CPU",
        "inputs": f"a generated clip, {SAMPLES} instants, sound at {SAMPLE_RATE_HZ} Hz; {RANDOM_SAMPLES} of noise",
        "runtime": f"onnxruntime {onnxruntime.__version__}, CPU",
        "outputs": [asdict(result) for result in results],
    }


def _check_graph(folder: Path, name: str, stage: Stage, model: CAVMAESync, array: Array) -> list[OutputParity]:
    session = onnxruntime.InferenceSession(str(folder / stage.spec.file), providers=["CPUExecutionProvider"])
    got = _run(session, stage.spec, array)
    alone = [_run(session, stage.spec, array[i : i + 1]) for i in range(len(array))]
    want = reference_outputs(name, model, array)
    results = []
    for index, tensor in enumerate(stage.spec.outputs):
        single = np.concatenate([outputs[index] for outputs in alone])
        results.append(_compare(name, tensor.name, got[index], want[index], single))
    return results


def _run(session: Any, spec: GraphSpec, array: Array) -> list[Array]:
    outputs: list[Array] = session.run([tensor.name for tensor in spec.outputs], {spec.inputs[0].name: array})
    return outputs


def _compare(graph: str, output: str, got: Array, want: Array, single: Array) -> OutputParity:
    if got.shape != want.shape:
        raise ExportError(f"the exported {graph} gives {output} as {got.shape}, the model as {want.shape}: report this")
    error = np.abs(got.astype(np.float64) - want)
    relative = float(error.max() / (np.abs(want).max() + 1e-12))
    batch_error = float(np.abs(single - got).max() / (np.abs(want).max() + 1e-12))
    rows_got, rows_want = (value.reshape(len(value), -1).astype(np.float64) for value in (got, want))
    cosine = _cosine(rows_got, rows_want)
    if output == "log_mel":
        passed = error.max() <= MAX_LOG_MEL_ERROR and error.mean() <= MEAN_LOG_MEL_ERROR
        centred = cosine
    else:
        apart = rows_want - rows_want.mean(axis=0)
        centred = _cosine(rows_got - rows_got.mean(axis=0), apart)
        is_flat = np.linalg.norm(apart, axis=1).min() < MIN_SPREAD * np.linalg.norm(rows_want, axis=1).max()
        passed = relative <= MAX_RELATIVE_ERROR and cosine >= MIN_COSINE
        passed = passed and (centred >= MIN_CENTRED_COSINE or is_flat)
    passed = bool(passed and batch_error <= MAX_RELATIVE_ERROR and np.isfinite(got).all())
    return OutputParity(
        graph, output, float(error.max()), float(error.mean()), relative, cosine, centred, batch_error, passed
    )


def _departure(result: OutputParity) -> float:
    figures = np.array([result.relative_error, 1 - result.cosine, result.batch_error])
    return float(np.nan_to_num(figures, nan=np.inf).max())


def _cosine(got: Array, want: Array) -> float:
    norms = np.linalg.norm(got, axis=1) * np.linalg.norm(want, axis=1)
    return float(np.min((got * want).sum(axis=1) / np.maximum(norms, 1e-30)))
