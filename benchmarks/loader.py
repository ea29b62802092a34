"""Training samples per second that one core reads from shards, compared with the public loader and the model's step.

Published sizes: one frame of 224 x 224 and 4.16 s of audio from ten seconds. The public loader's method computes the
log-mel of the whole clip for each of its 16 frames and cuts one segment from each; it reads the same shards here.
Variants alternate, so that a noisy machine affects all equally. One thread each, no worker processes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import measure
import numpy as np
import torch

from cavsync.data.batches import PairBatch, PairDataset, collate
from cavsync.data.clip_audio import Waveform
from cavsync.data.logmel import log_mel
from cavsync.data.sampling import SamplePlan
from cavsync.data.shards import PackOptions, ShardFolder
from cavsync.data.shards.pack import pack
from cavsync.data.synth import draw_specs, generate
from cavsync.model import CAVMAESync
from cavsync.model.config import CAV_MAE_SYNC

RESULTS = measure.RESULTS / "loader.jsonl"
FRAMES = 16
PLAN = SamplePlan(CAV_MAE_SYNC.audio_length, 1, 0.04, instants=1, pad=True)


def make_shards(folder: Path, clips: int) -> ShardFolder:
    """Write shards of ten-second clips with sixteen frames of 256 pixels."""
    specs = draw_specs(clips, 77, duration_seconds=10.0, size=(340, 256), container="mp4")
    generate(folder / "clips", specs, workers=os.cpu_count() or 1)
    options = PackOptions(frames=FRAMES, short_side_px=256, shard_clips=16)
    pack(folder / "clips", folder / "shards", options, workers=os.cpu_count() or 1)
    return ShardFolder.open(folder / "shards", frames_per_clip=FRAMES, segment_frames=PLAN.segment_frames)


def ours(source: ShardFolder, *, on_device: bool) -> Callable[[int], Any]:
    """Return a function that reads one sample; with `on_device` the log-mel is left to the accelerator."""
    dataset = PairDataset(source, PLAN, CAV_MAE_SYNC.img_size, log_mel_on_device=on_device)
    return lambda turn: dataset[turn % len(source), turn]


def public_like(source: ShardFolder) -> Callable[[int], Any]:
    """Return a function that reads one sample and computes the whole clip's log-mel once per frame."""

    def sample(turn: int) -> Any:
        clip = source.load(turn % len(source), CAV_MAE_SYNC.img_size)
        assert isinstance(clip.audio, Waveform)
        segments = []
        for _ in range(FRAMES):
            whole = log_mel(torch.from_numpy(clip.audio.samples))
            segments.append(whole[: PLAN.segment_frames])
        return clip.frames[np.array([turn % FRAMES])], segments

    return sample


def seconds_each(variants: dict[str, Callable[[int], Any]], samples: int, rounds: int) -> dict[str, float]:
    """Return each variant's seconds per sample, the median over alternating rounds."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(rounds + 1):
        for name, make in variants.items():
            begin = time.perf_counter()
            for number in range(samples):
                make(turn * samples + number)
            if turn:
                times[name].append((time.perf_counter() - begin) / samples)
    return {name: statistics.median(found) for name, found in times.items()}


def step_seconds_per_sample(batch: PairBatch) -> float:
    """Time forward and backward of the published size per sample, on all cores, in bf16 if it is native."""
    torch.set_num_threads(os.cpu_count() or 1)
    model = CAVMAESync(CAV_MAE_SYNC)
    native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    features, frames = (part(torch.device("cpu")) for part in (batch.normalised_features, batch.normalised_frames))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=native):
            loss = model(features, frames).loss
        loss.backward()

    return statistics.median(measure.time_on_cpu(step, 3)) / 1e3 / len(batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        source = make_shards(Path(folder), options.clips)
        variants = {
            "log-mel by the worker": ours(source, on_device=False),
            "log-mel left to the device": ours(source, on_device=True),
            "whole log-mel once per frame": public_like(source),
        }
        found = seconds_each(variants, options.clips, options.rounds)
        dataset = PairDataset(source, PLAN, CAV_MAE_SYNC.img_size)
        step = step_seconds_per_sample(collate([dataset[index, 0] for index in range(8)]))
    fastest = found["log-mel by the worker"]
    row = {
        "samples_per_second_per_core": {name: round(1 / seconds, 1) for name, seconds in found.items()},
        "times_the_public_loader": {
            name: round(found["whole log-mel once per frame"] / seconds, 2) for name, seconds in found.items()
        },
        "model_step_seconds_per_sample_all_cores": round(step, 4),
        "loader_share_of_step": round(fastest / (os.cpu_count() or 1) / step, 4),
        "clips": options.clips,
        **measure.provenance(torch.device("cpu")),
    }
    measure.append_rows(RESULTS, [row])
    for name, rate in row["samples_per_second_per_core"].items():
        print(f"{name:32} {rate:7.1f} samples/s/core, {row['times_the_public_loader'][name]:5.2f} times")
    print(f"model step, all cores, per sample    {step:.3f} s; loading takes {row['loader_share_of_step']:.1%} of that")


if __name__ == "__main__":
    main()
