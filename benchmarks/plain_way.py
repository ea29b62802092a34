"""Speed of the scorer compared with the plain way, which embeds every frame and segment of every window in PyTorch.

Model (random weights), grid and windows are the same. The plain way reuses nothing from earlier windows: it computes
the log-mel of the window's audio, embeds each frame and each segment within the search range once, and averages the
similarities. The scorer embeds each frame and each audio instant once per stream. Both run in one process, and their
similarity curves are compared. Appends rows to results/plain_way.jsonl.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import material
import measure
import numpy as np
import random_models
import torch
from numpy.typing import NDArray

from cavsync.data.frontend import LogMelFrontend
from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.stream.audio_input import AudioInput
from cavsync.deploy.stream.rows import Row
from cavsync.deploy.verdict.curve import lag_grid_ms
from cavsync.export.graphs import AudioEncoder, VisualEncoder
from cavsync.manifest import Manifest
from cavsync.media.align import (
    FRAME_LENGTH_SAMPLES,
    FRAME_SHIFT_SAMPLES,
    nearest_index,
    segment_center_seconds,
    tubelet_times_seconds,
)
from cavsync.media.frame import resize_center_crop
from cavsync.model import CAVMAESync

RESULTS = measure.RESULTS / "plain_way.jsonl"
PRECISIONS = {random_models.SYNC_TINY: "fp32", random_models.PUBLISHED: "int8"}
MAX_OFFSETS_MS = {random_models.SYNC_TINY: 800.0, random_models.PUBLISHED: 2000.0}
BATCH = 16
Array = NDArray[Any]


class PlainWay:
    """Computes the similarities of one window without reusing embeddings.

    Frames are resized and audio is resampled beforehand, so the plain way's time does not include that.
    """

    def __init__(self, model: CAVMAESync, manifest: Manifest, clip: material.Material, media_seconds: float) -> None:
        model = model.eval()
        encoders = {"audio_encoder": AudioEncoder(model), "visual_encoder": VisualEncoder(model)}
        self._modules: dict[str, torch.nn.Module] = {"audio_frontend": LogMelFrontend(), **encoders}
        self._manifest = manifest
        count = round(media_seconds * material.FRAME_RATE_HZ)
        small = np.stack([resize_center_crop(frame, manifest.visual.img_size) for frame in clip.frames])
        self._frames = small[np.arange(count) % len(small)]
        self._times_seconds = np.arange(count) / material.FRAME_RATE_HZ
        audio = np.concatenate([clip.samples] * (1 + count // len(clip.frames)))
        converter = AudioInput()
        pieces = [*converter.push(audio, 0.0, material.SAMPLE_RATE_HZ), *converter.flush()]
        self._samples = np.concatenate([samples for _, samples in pieces])

    def rows(self, times_seconds: Array, max_offset_ms: float) -> Array:
        """Return the similarities (frames, lags) of a window with frames at these times."""
        hop_seconds = self._manifest.sync.hop_ms / 1000
        length = self._manifest.audio.segment_frames
        positions = times_seconds[:, None] + lag_grid_ms(max_offset_ms, self._manifest.sync.hop_ms) / 1000
        positions = (positions - segment_center_seconds(0, length)) / hop_seconds
        below = np.floor(positions + 1e-6).astype(int)
        first, last = below.min(), below.max() + 1
        visual = self._embedded("visual_encoder", self._tubelets(times_seconds))
        audio = self._embedded("audio_encoder", self._segments(first, last, round(hop_seconds * 100), length))
        similarity = visual @ audio.T
        pick = np.arange(len(times_seconds))[:, None]
        share = np.clip(positions - below, 0, 1)
        lower, upper = similarity[pick, below - first], similarity[pick, below + 1 - first]
        curve: Array = (1 - share) * lower + share * upper
        return curve

    def _tubelets(self, times_seconds: Array) -> Array:
        visual = self._manifest.visual
        wanted = tubelet_times_seconds(times_seconds, visual.num_frames, visual.frame_step_seconds)
        tubelets: Array = self._frames[nearest_index(self._times_seconds, wanted)]
        return tubelets

    def _segments(self, first: int, last: int, hop_frames: int, length: int) -> Array:
        """Return the log-mel segments of the instants `first` to `last`, from the window's audio."""
        num_frames = (last - first) * hop_frames + length
        start = first * hop_frames * FRAME_SHIFT_SAMPLES
        stop = start + (num_frames - 1) * FRAME_SHIFT_SAMPLES + FRAME_LENGTH_SAMPLES
        with torch.inference_mode():
            audio = torch.from_numpy(self._samples[None, start:stop])
            log_mel = self._modules["audio_frontend"](audio)[0].numpy()
        starts = np.arange(last - first + 1) * hop_frames
        return np.stack([log_mel[start : start + length] for start in starts])

    def _embedded(self, name: str, inputs: Array) -> Array:
        with torch.inference_mode():
            parts = torch.from_numpy(inputs).split(BATCH)
            found = torch.cat([self._modules[name](part)[0] for part in parts])
        return found.double().numpy()


def compare(name: str, clip: material.Material, media_seconds: float, windows: int) -> dict[str, Any]:
    """Measure both ways on one stream: seconds per window, and the difference of their similarities."""
    folder = random_models.random_bundle(name, PRECISIONS[name])
    rows: list[Row] = []
    scorer = SyncScorer(Bundle.open(folder), max_offset_ms=MAX_OFFSETS_MS[name], on_row=rows.append)
    manifest = scorer.bundle.manifest
    plain = PlainWay(random_models.random_model(name), manifest, clip, media_seconds)
    scorer_seconds = material.seconds_to_push(scorer, clip, media_seconds)
    step_seconds = manifest.sync.decision_step_seconds
    # Windows in the middle, for which all audio is available.
    margin_seconds = scorer.max_offset_ms / 1000 + manifest.audio.segment_frames / 100 + 0.5
    last_end = media_seconds - margin_seconds
    ends = [last_end - step_seconds * index for index in range(windows)]
    times, differences, spreads = [], [], []
    for end in ends:
        inside = [row for row in rows if end - scorer.window_seconds <= row.time_seconds < end]
        if not inside or end - scorer.window_seconds < margin_seconds:
            raise SystemExit(f"{media_seconds} s of media are too few for {windows} windows: give more --seconds")
        begin = time.perf_counter()
        found = plain.rows(np.array([row.time_seconds for row in inside]), scorer.max_offset_ms)
        times.append(time.perf_counter() - begin)
        similarity = np.stack([row.similarity for row in inside])
        differences.append(float(np.abs(found - similarity).max()))
        spreads.append(float(np.ptp(similarity)))
    per_window = scorer_seconds / (media_seconds / step_seconds)
    return {
        "model": name,
        "precision": PRECISIONS[name],
        "media_seconds": media_seconds,
        "window_seconds": scorer.window_seconds,
        "step_seconds": step_seconds,
        "scorer_seconds_per_window": round(per_window, 4),
        "plain_seconds_per_window": round(statistics.median(times), 4),
        "times": round(statistics.median(times) / per_window, 1),
        "largest_difference": float(f"{max(differences):.2g}"),
        "spread": float(f"{min(spreads):.2g}"),
    }


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(PRECISIONS), default=list(PRECISIONS))
    parser.add_argument("--seconds", type=float, default=40.0, help="length of media for the scorer")
    parser.add_argument("--windows", type=int, default=3, help="windows that the plain way embeds")
    parser.add_argument("--clip-seconds", type=float, default=10.0, help="length of the repeated clip")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    clip = material.material(options.clip_seconds)
    rows = []
    for name in options.models:
        row = compare(name, clip, options.seconds, options.windows)
        print(f"{name}: plain way {row['plain_seconds_per_window']:.2f} s per window, scorer ", end="")
        print(f"{row['scorer_seconds_per_window']:.3f} s: {row['times']} times as long; ", end="")
        print(f"similarities within {row['spread']} differ by {row['largest_difference']} at most", flush=True)
        rows.append(row)
    facts = measure.cpu_provenance("onnxruntime")
    measure.append_rows(options.results, [row | facts for row in rows])
    return rows


if __name__ == "__main__":
    main()
