"""Read the inputs of the motion baseline from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cavsync.media import AudioChunk, MediaReader, VideoFrame
from cavsync.media.align import SAMPLE_RATE_HZ

SIDE_PX = 64


def read_baseline_inputs(path: Path) -> tuple[NDArray[np.uint8], list[float], NDArray[np.float32]]:
    """Return grey frames (n, 64, 64), their times in seconds, and mono 16 kHz samples from time 0 on.

    Raises MediaError for a file that cannot be read.
    """
    frames, times, chunks = [], [], []
    with MediaReader(path) as reader:
        for item in reader:
            if isinstance(item, VideoFrame):
                grey = Image.fromarray(item.rgb).convert("L").resize((SIDE_PX, SIDE_PX))
                frames.append(np.asarray(grey))
                times.append(item.pts_seconds)
            else:
                chunks.append(item)
    return np.stack(frames), times, from_time_zero(chunks, SAMPLE_RATE_HZ)


def from_time_zero(chunks: Sequence[AudioChunk], rate_hz: int) -> NDArray[np.float32]:
    """Place chunks by their timestamps on a clock that starts at 0, without samples before it."""
    end = max(round(chunk.pts_seconds * rate_hz) + len(chunk.samples) for chunk in chunks)
    samples = np.zeros(max(end, 0), dtype=np.float32)
    for chunk in chunks:
        begin = round(chunk.pts_seconds * rate_hz)
        kept = chunk.samples[max(0, -begin) :]
        begin = max(0, begin)
        samples[begin : begin + len(kept)] = kept
    return samples
