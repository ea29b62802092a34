"""Find which of several audio tracks are not silent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import av
import av.error
import numpy as np
from av.container import InputContainer

from cavsync.errors import MediaError
from cavsync.media.packets import read_packets
from cavsync.media.resample import MonoResampler, frame_pts_seconds

SILENT_LEVEL = 1e-3
"""-60 dBFS."""
PROBE_SECONDS = 600.0
PROBE_RATE_HZ = 16_000


def first_sounding(container: InputContainer, tracks: Sequence[av.AudioStream]) -> av.AudioStream | None:
    """Return the first of the tracks that exceeds `SILENT_LEVEL` within `PROBE_SECONDS`; None where none does.

    Reads `container` from its start, as a rule only to the first sound, so that it must be opened again afterwards.
    """
    resamplers = {track.index: MonoResampler(PROBE_RATE_HZ) for track in tracks}
    heard: set[int] = set()
    end_seconds: float | None = None
    for index, frame in _frames(container, tracks):
        seconds = frame_pts_seconds(frame)
        if index not in heard:
            try:
                chunks = list(resamplers[index].push(frame))
            except MediaError:
                # Whether it matters is told by the reading that follows.
                continue
            if any(np.sqrt(np.mean(np.square(chunk.samples))) > SILENT_LEVEL for chunk in chunks):
                heard.add(index)
        if seconds is not None:
            end_seconds = seconds + PROBE_SECONDS if end_seconds is None else end_seconds
        if tracks[0].index in heard or (seconds is not None and end_seconds is not None and seconds > end_seconds):
            break
    return next((track for track in tracks if track.index in heard), None)


def _frames(container: InputContainer, tracks: Sequence[av.AudioStream]) -> Iterator[tuple[int, av.AudioFrame]]:
    """Yield decoded frames with the index of their track; damage is left to the reading that follows."""
    try:
        for packet in read_packets(container, *tracks):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            yield from ((packet.stream_index, frame) for frame in frames)
    except av.error.FFmpegError:
        return
