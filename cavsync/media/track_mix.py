"""Several mono tracks mixed to one, sample by sample on a common clock."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cavsync.media.resample import AudioChunk, StereoMix

# A track that is further behind is not waited for; a jump of the times that is larger begins a new piece.
MAX_WAIT_SECONDS = 10.0


class TrackMix:
    """Mean of tracks that are pushed chunk by chunk; where one has no samples, it counts as silent.

    Of two that cancel (opposite phase) it is half the difference.
    """

    def __init__(self, num_tracks: int, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._max_wait = round(MAX_WAIT_SECONDS * sample_rate_hz)
        self._stereo = StereoMix(sample_rate_hz) if num_tracks == 2 else None
        self._begin: int | None = None
        self._waiting: NDArray[np.float32] = np.empty((0, num_tracks), dtype=np.float32)
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
        missing = offset + len(samples) - len(self._waiting)
        if missing > 0:
            silence = np.zeros((missing, self._waiting.shape[1]), dtype=np.float32)
            self._waiting = np.concatenate([self._waiting, silence])
        self._waiting[offset : offset + len(samples), place] += samples
        self._ends[place] = max(self._ends[place], self._begin + offset + len(samples))
        yield from self._emit(max(min(self._ends), self._end - self._max_wait))

    def flush(self) -> Iterator[AudioChunk]:
        """Yield the rest; the next chunk begins a new piece."""
        if self._begin is not None:
            yield from self._emit(self._end)
            self._begin = None

    @property
    def _end(self) -> int:
        return (self._begin or 0) + len(self._waiting)

    @property
    def cancelled_seconds(self) -> float:
        """Duration of two tracks in opposite phase, of which the difference was returned instead of the mean."""
        return 0.0 if self._stereo is None else self._stereo.cancelled_seconds

    def _emit(self, stop: int) -> Iterator[AudioChunk]:
        assert self._begin is not None
        count = stop - self._begin
        if count > 0:
            ready, self._waiting = self._waiting[:count], self._waiting[count:]
            start, self._begin = self._begin, stop
            mixed = ready.mean(axis=1) if self._stereo is None else self._stereo.mix(ready)
            yield AudioChunk(start / self._rate_hz, mixed)
