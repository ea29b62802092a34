"""A broadcast that has further sounds for a while, of which nothing can be known when it is opened."""

from __future__ import annotations

from pathlib import Path

from coded_clips import write_coded_clip

NUM_LATE = 7
SECONDS = 12.0
NUM_VIDEO, NUM_AUDIO = 650, 1223
"""Packets of the first video and the first audio."""


def write_late_streams(folder: Path) -> Path:
    """Write 26 s of MPEG-TS: one sound, for 2 s eight of them, then one again. Its clock jumps at both joints."""
    one = write_coded_clip(folder / "one.ts", seconds=SECONDS)
    many = write_coded_clip(folder / "many.ts", seconds=2.0, num_audio=1 + NUM_LATE)
    path = folder / "late_streams.ts"
    path.write_bytes(one.read_bytes() + many.read_bytes() + one.read_bytes())
    return path
