"""Embed a clip once over a range of lags that is wider than any search.

A search over a part of that range that is shifted by whole hops then equals scoring the clip with its audio shifted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.stream.rows import Row
from cavsync.deploy.verdict.records import WHOLE
from cavsync.errors import MediaError
from cavsync.media import MediaReader, VideoFrame


@dataclass(frozen=True)
class ClipRows:
    """A clip's rows of similarities over the lags, and the true lag of its audio."""

    name: str
    rows: list[Row]
    lags_ms: NDArray[np.float64]
    true_lag_ms: float


def embed_clip(
    bundle: Bundle,
    path: Path,
    *,
    max_lag_ms: float,
    true_offset_ms: float = 0.0,
    audio_shift_ms: float = 0.0,
    max_seconds: float = float("inf"),
) -> ClipRows:
    """Compute the rows of a clip over ±max_lag_ms with its audio delayed by `audio_shift_ms`, up to `max_seconds`.

    Raises MediaError for a clip that is unreadable or too short for a row.
    """
    rows: list[Row] = []
    scorer = SyncScorer(bundle, max_offset_ms=max_lag_ms, path=WHOLE, on_row=rows.append)
    with MediaReader(path) as reader:
        for item in reader:
            if item.pts_seconds > max_seconds:
                break
            if isinstance(item, VideoFrame):
                scorer.push_video(item.rgb, pts_seconds=item.pts_seconds)
            else:
                scorer.push_audio(item.samples, pts_seconds=item.pts_seconds + audio_shift_ms / 1000)
    scorer.flush()
    if not rows:
        raise MediaError(f"{path} has no frame with audio around it: give a longer clip", reason="too_short")
    return ClipRows(path.name, rows, scorer.lags_ms, audio_shift_ms - true_offset_ms)
