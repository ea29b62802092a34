"""Any decoded audio -> mono float32 at one rate, on an unbroken clock.

libswresample mixes and resamples. Its clock is the count of samples since the last break: containers round timestamps
(Matroska to a millisecond), and following that jitter would cut and stretch the sound. Timestamps that stay away from
the count, as after an edit or a lost packet, are followed: else the audio would stay displaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

# A single timestamp may be this far off; a lost packet or an edit is above it.
BREAK_SECONDS = 0.03
# The mean over about a second may not: rounding averages out, a displacement stays.
DISPLACED_SECONDS = 0.005
SETTLE_SECONDS = 1.0

TimedSamples = tuple[float, NDArray[np.float32]]


class SteadyClock:
    """Tells jitter of timestamps from breaks. `next_seconds` is where the next piece belongs if nothing breaks."""

    def __init__(self, start_seconds: float) -> None:
        self.next_seconds = start_seconds
        self._displacement_seconds = 0.0

    def follows(self, pts_seconds: float) -> bool:
        """Whether a piece with this timestamp continues the run: not far off, and not displaced for long."""
        return (
            abs(pts_seconds - self.next_seconds) <= BREAK_SECONDS
            and abs(self._displacement_seconds) <= DISPLACED_SECONDS
        )

    def advance(self, pts_seconds: float | None, duration_seconds: float) -> None:
        """Add a piece to the run; one without a timestamp tells nothing about displacement."""
        if pts_seconds is not None:
            share = min(1.0, duration_seconds / SETTLE_SECONDS)
            self._displacement_seconds += share * (pts_seconds - self.next_seconds - self._displacement_seconds)
        self.next_seconds += duration_seconds


@lru_cache(maxsize=64)
def mix_gain(layout: str) -> np.float32:
    """Gain that makes the weights of a layout's channels in the mix add up to one.

    In floating point libswresample lets them add up to more, 1.41 for stereo; with integers, and so with the tools that
    made the published data sets, they add up to one. The weights are found by mixing a constant.
    """
    ones = av.AudioFrame(format="flt", layout=layout, samples=64)
    for plane in ones.planes:
        plane.update(np.ones(plane.buffer_size // 4, dtype=np.float32).tobytes())
    ones.sample_rate = 16_000
    mixed = av.AudioResampler(format="flt", layout="mono", rate=16_000).resample(ones)
    return np.float32(1.0 / mixed[0].to_ndarray().reshape(-1)[:32].mean())


class MonoResampler:
    """Push decoded frames (`av.AudioFrame`), get `(pts_seconds, samples)` with mono float32 at `sample_rate_hz`.

    A jump of the timestamps by more than `BREAK_SECONDS`, a lasting displacement by more than `DISPLACED_SECONDS`, or a
    change of rate or layout, ends the run of samples and starts a new one at the frame's own timestamp. Times are
    counted from `zero_seconds` of the source's clock.
    """

    def __init__(self, sample_rate_hz: int, *, zero_seconds: float = 0.0) -> None:
        self._zero_seconds = zero_seconds
        self._rate_hz = sample_rate_hz
        self._resampler: Any = None
        self._source_format: tuple[Any, ...] | None = None
        self._gain = np.float32(1.0)
        self._clock = SteadyClock(0.0)
        self._origin_seconds = 0.0
        self._samples_out = 0

    def push(self, frame: Any) -> Iterator[TimedSamples]:
        """Resample one decoded frame; yields nothing while the filter fills."""
        source_format = (frame.sample_rate, frame.layout.name, frame.format.name)
        pts_seconds = None if frame.pts is None else float(frame.pts * frame.time_base) - self._zero_seconds
        is_break = pts_seconds is not None and not self._clock.follows(pts_seconds)
        if self._resampler is not None and (is_break or source_format != self._source_format):
            yield from self.flush()
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=self._rate_hz)
            self._source_format = source_format
            self._gain = mix_gain(frame.layout.name)
            self._origin_seconds = self._now_seconds() if pts_seconds is None else pts_seconds
            self._clock = SteadyClock(self._origin_seconds)
            self._samples_out = 0
        self._clock.advance(pts_seconds, frame.samples / frame.sample_rate)
        frame.pts = None
        yield from self._emit(self._resampler.resample(frame))

    def flush(self) -> Iterator[TimedSamples]:
        """Hand out what the filter still holds and end the run."""
        if self._resampler is not None:
            yield from self._emit(self._resampler.resample(None))
            self._origin_seconds = self._now_seconds()
            self._samples_out = 0
            self._resampler = None

    def _now_seconds(self) -> float:
        return self._origin_seconds + self._samples_out / self._rate_hz

    def _emit(self, frames: list[Any]) -> Iterator[TimedSamples]:
        for frame in frames:
            samples = frame.to_ndarray().reshape(-1).astype(np.float32, copy=False) * self._gain
            pts_seconds = self._now_seconds()
            self._samples_out += len(samples)
            if len(samples):
                yield pts_seconds, samples
