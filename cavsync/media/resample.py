"""Any decoded audio -> mono float32 at one rate, on an unbroken clock.

libswresample mixes and resamples. Its clock is the count of samples since the last break: containers round timestamps
(Matroska to a millisecond), and following that jitter would cut and stretch the sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

# Rounded timestamps and encoder padding stay well under this; a lost packet or an edit is above it.
BREAK_SECONDS = 0.03

TimedSamples = tuple[float, NDArray[np.float32]]


class MonoResampler:
    """Push decoded frames (`av.AudioFrame`), get `(pts_seconds, samples)` with mono float32 at `sample_rate_hz`.

    A jump of the timestamps by more than `BREAK_SECONDS`, or a change of rate or layout, ends the current run of
    samples and starts a new one at the frame's own timestamp. Times count from `zero_seconds`.
    """

    def __init__(self, sample_rate_hz: int, *, zero_seconds: float = 0.0) -> None:
        self._zero_seconds = zero_seconds
        self._rate_hz = sample_rate_hz
        self._resampler: Any = None
        self._source_format: tuple[Any, ...] | None = None
        self._origin_seconds = 0.0
        self._samples_in = 0
        self._samples_out = 0

    def push(self, frame: Any) -> Iterator[TimedSamples]:
        """Resample one decoded frame; yields nothing while the filter fills."""
        source_format = (frame.sample_rate, frame.layout.name, frame.format.name)
        pts_seconds = None if frame.pts is None else float(frame.pts * frame.time_base) - self._zero_seconds
        if self._resampler is not None and (source_format != self._source_format or self._breaks(pts_seconds, frame)):
            yield from self.flush()
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=self._rate_hz)
            self._source_format = source_format
            self._origin_seconds = self._now_seconds() if pts_seconds is None else pts_seconds
            self._samples_in = self._samples_out = 0
        self._samples_in += frame.samples
        frame.pts = None
        yield from self._emit(self._resampler.resample(frame))

    def flush(self) -> Iterator[TimedSamples]:
        """Hand out what the filter still holds and end the run."""
        if self._resampler is not None:
            yield from self._emit(self._resampler.resample(None))
            self._origin_seconds = self._now_seconds()
            self._samples_out = 0
            self._resampler = None

    def _breaks(self, pts_seconds: float | None, frame: Any) -> bool:
        if pts_seconds is None:
            return False
        expected_seconds: float = self._origin_seconds + self._samples_in / frame.sample_rate
        return abs(pts_seconds - expected_seconds) > BREAK_SECONDS

    def _now_seconds(self) -> float:
        return self._origin_seconds + self._samples_out / self._rate_hz

    def _emit(self, frames: list[Any]) -> Iterator[TimedSamples]:
        for frame in frames:
            samples = frame.to_ndarray().reshape(-1).astype(np.float32, copy=False)
            pts_seconds = self._now_seconds()
            self._samples_out += len(samples)
            if len(samples):
                yield pts_seconds, samples
