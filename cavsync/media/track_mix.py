"""Several mono tracks mixed to one, sample by sample on a common clock."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cavsync.media.resample import AudioChunk

# A track that is further behind is not waited for; a jump of the times that is larger begins a new piece.
MAX_WAIT_SECONDS = 10.0


class TrackMix:
    """Mean of tracks that are pushed chunk by chunk; where one has no samples, it counts as silent."""

    def __init__(self, num_tracks: int, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._max_wait = round(MAX_WAIT_SECONDS * sample_rate_hz)
        self._gain = np.float32(1 / num_tracks)
        self._begin: int | None = None
        self._sum: NDArray[np.float32] = np.empty(0, dtype=np.float32)
        self._ends = [0] * num_tracks

    def push(self, place: int, chunk: AudioChunk) -> Iterator[AudioChunk]:
        """Add audio of the track number `place`; yield what all tracks have reached."""
        start = round(chunk.pts_seconds * self._rate_hz)
        if self._begin is not None and not self._begin - self._max_wait <= start <= self._end + self._max_wait:
            yield from self.flush()
        if self._begin is None:
            self._begin = start
            self._ends = [start] * len(self._ends)
        samples = chunk.samples[max(0, self._begin - start) :]
        offset = max(0, start - self._begin)
        missing = offset + len(samples) - len(self._sum)
        if missing > 0:
            self._sum = np.concatenate([self._sum, np.zeros(missing, dtype=np.float32)])
        self._sum[offset : offset + len(samples)] += self._gain * samples
        self._ends[place] = max(self._ends[place], self._begin + offset + len(samples))
        yield from self._emit(max(min(self._ends), self._end - self._max_wait))

    def flush(self) -> Iterator[AudioChunk]:
        """Yield the rest; the next chunk begins a new piece."""
        if self._begin is not None:
            yield from self._emit(self._end)
            self._begin = None

    @property
    def _end(self) -> int:
        return (self._begin or 0) + len(self._sum)

    def _emit(self, stop: int) -> Iterator[AudioChunk]:
        assert self._begin is not None
        count = stop - self._begin
        if count > 0:
            ready, self._sum = self._sum[:count], self._sum[count:]
            start, self._begin = self._begin, stop
            yield AudioChunk(start / self._rate_hz, ready)
