"""Files whose frames have given times and durations."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_timed(path: Path, ticks: Sequence[int], durations: Sequence[int], audio_seconds: float) -> Path:
    """Small grey frames at `ticks` for `durations`, both in tenths of a second, with silent audio."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=10)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        audio = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        packets = []
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 10 * number, np.uint8), "rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 10)
            packets += video.encode(frame)
        for packet, duration in zip([*packets, *video.encode(None)], durations, strict=True):
            packet.duration = duration
            out.mux(packet)
        samples = np.zeros((1, round(16_000 * audio_seconds)), np.int16)
        part = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        part.sample_rate, part.pts, part.time_base = 16_000, 0, Fraction(1, 16_000)
        out.mux([*audio.encode(part), *audio.encode(None)])
    return path
