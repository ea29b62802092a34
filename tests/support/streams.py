"""Push frames and audio into a scorer, in the order of time and in pieces of any size."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from cavsync.deploy import SyncScore, SyncScorer

RATE_HZ = 16_000


def times_at(rate_hz: float, seconds: float, start_seconds: float = 0.0) -> np.ndarray:
    return start_seconds + np.arange(round(seconds * rate_hz)) / rate_hz


def feed(
    scorer: SyncScorer,
    times: np.ndarray,
    frames: np.ndarray,
    samples: np.ndarray,
    audio_start_seconds: float = 0.0,
    cuts: list[int] | None = None,
    audio_leads_by: int = 0,
) -> list[SyncScore]:
    """Push everything in the order of time; the audio is cut at `cuts` and may lead or trail the frames."""
    edges = sorted({0, *(cuts or range(0, len(samples), 1000)), len(samples)})
    pieces = [(start, samples[start:stop]) for start, stop in pairwise(edges)]
    events: list[tuple[float, int, Any]] = [(time, 1, frame) for time, frame in zip(times, frames, strict=True)]
    events += [(audio_start_seconds + start / RATE_HZ - audio_leads_by, 0, (start, piece)) for start, piece in pieces]
    records: list[SyncScore] = []
    for time, kind, item in sorted(events, key=lambda event: event[:2]):
        if kind == 1:
            records += scorer.push_video(item, pts_seconds=float(time))
        else:
            start, piece = item
            records += scorer.push_audio(piece, pts_seconds=audio_start_seconds + start / RATE_HZ)
    return records + scorer.flush()
