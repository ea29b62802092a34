"""Resampling of decoded audio to mono float32 at one rate, with jitter removed from its timestamps.

libswresample mixes and resamples; stereo is mixed here, because its channels may cancel. Times are the count of samples
since the last break, because containers round timestamps (Matroska to a millisecond) and following that jitter would
cut and stretch the audio. Where timestamps stay away from the count, as after an edit or a lost packet, the count
restarts from them, so that audio is not displaced.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

import av
import av.error
import numpy as np
from av.frame import Frame
from numpy.typing import NDArray

from cavsync.errors import MediaError

# Largest error of a single timestamp; lost packets and edits exceed it.
BREAK_SECONDS = 0.03
# Largest mean error over about a second: rounding averages out, a displacement does not.
DISPLACED_SECONDS = 0.005
SETTLE_SECONDS = 1.0
# Two channels in opposite phase leave at most this share of their power in a mix; they count as such until their mix
# has a larger share again.
CANCELLED_SHARE, RESTORED_SHARE = 0.01, 0.04
# Rates of a damaged or forged file: one packet at 1 Hz would become hours of audio.
MIN_RATE_HZ, MAX_RATE_HZ = 100, 6_144_000
ChannelRule = Literal["mix", "first"]
"""How several channels become one: their mean, or the first alone, as the published preparation of CAV-MAE keeps it."""
STEREO_LAYOUTS = ("stereo", "2 channels", "downmix")


class AudioChunk(NamedTuple):
    """Mono audio: `samples` (n,) float32 at the requested rate, the first of them played at `pts_seconds`."""

    pts_seconds: float
    samples: NDArray[np.float32]


def frame_pts_seconds(frame: Frame) -> float | None:
    """Return a decoded frame's presentation time on the container's clock; None where it has none."""
    return None if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)


class SteadyClock:
    """A sample clock that separates jitter of timestamps from breaks.

    `next_seconds` is the time at which the next piece continues without a break.
    """

    def __init__(self, start_seconds: float) -> None:
        self.next_seconds = start_seconds
        self._displacement_seconds = 0.0

    def follows(self, pts_seconds: float) -> bool:
        """Return whether a piece at `pts_seconds` continues without a break: not far off, nor displaced for long."""
        return (
            abs(pts_seconds - self.next_seconds) <= BREAK_SECONDS
            and abs(self._displacement_seconds) <= DISPLACED_SECONDS
        )

    def advance(self, pts_seconds: float | None, duration_seconds: float) -> None:
        """Add a piece; one without a timestamp leaves the estimate of the displacement as it is."""
        if pts_seconds is not None:
            share = min(1.0, duration_seconds / SETTLE_SECONDS)
            self._displacement_seconds += share * (pts_seconds - self.next_seconds - self._displacement_seconds)
        self.next_seconds += duration_seconds


@lru_cache(maxsize=64)
def mix_gain(layout: str) -> np.float32:
    """Return the gain that makes the mixing weights of a layout's channels add up to one.

    In floating point libswresample lets them add up to more, 1.41 for stereo. With integers, as in the tools that made
    the published data sets, they add up to one. The sum is measured by mixing a constant.
    """
    ones = av.AudioFrame(format="flt", layout=layout, samples=64)
    for plane in ones.planes:
        plane.update(np.ones(plane.buffer_size // 4, dtype=np.float32).tobytes())
    ones.sample_rate = 16_000
    mixed = av.AudioResampler(format="flt", layout="mono", rate=16_000).resample(ones)
    weight = float(mixed[0].to_ndarray().reshape(-1)[:32].mean())
    # A channel for low frequencies alone is left out of a mix.
    return np.float32(1.0 / weight if weight else 1.0)


class StereoMix:
    """The mean of two channels, or half their difference while they cancel in the mean (opposite phase).

    What counts is the power of both over about a second, so that the choice does not flicker.
    `cancelled_seconds` is the duration of the audio that the mean would have lost.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._powers = np.zeros(2)
        self._is_opposite = False
        self.cancelled_seconds = 0.0

    def mix(self, stereo: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mix samples (n, 2) to (n,)."""
        mean = np.float32(0.5) * (stereo[:, 0] + stereo[:, 1])
        difference = np.float32(0.5) * (stereo[:, 0] - stereo[:, 1])
        if len(stereo):
            seconds = len(stereo) / self._rate_hz
            kept = math.exp(-seconds / SETTLE_SECONDS)
            powers = np.array([np.mean(np.square(part, dtype=np.float64)) for part in (mean, difference)])
            self._powers = kept * self._powers + (1 - kept) * powers
            limit = RESTORED_SHARE if self._is_opposite else CANCELLED_SHARE
            self._is_opposite = bool(self._powers[0] < limit * self._powers[1])
            self.cancelled_seconds += seconds * self._is_opposite
        return difference if self._is_opposite else mean


class MonoResampler:
    """Resampler of decoded audio frames to `AudioChunk`s of mono float32 at `sample_rate_hz`.

    Several channels are mixed, or, with `channels` "first", all but the first are dropped.

    The count of samples restarts at the frame's own timestamp when timestamps jump by more than `BREAK_SECONDS`, stay
    displaced by more than `DISPLACED_SECONDS`, or the rate or layout changes. Times are counted from `zero_seconds` of
    the source's clock.
    """

    def __init__(self, sample_rate_hz: int, *, zero_seconds: float = 0.0, channels: ChannelRule = "mix") -> None:
        self._channels = channels
        self._num_channels = 1
        self._zero_seconds = zero_seconds
        self._rate_hz = sample_rate_hz
        self._resampler: av.AudioResampler | None = None
        self._source_format: tuple[int, str, str] | None = None
        self._gain = np.float32(1.0)
        self._is_stereo = False
        self._stereo = StereoMix(sample_rate_hz)
        self._clock = SteadyClock(0.0)
        self._origin_seconds = 0.0
        self._samples_out = 0

    def push(self, frame: av.AudioFrame) -> Iterator[AudioChunk]:
        """Resample one decoded frame; yields nothing while the filter fills.

        Raises:
            MediaError: the frame has a rate that no audio has, or channels that FFmpeg cannot mix.
        """
        if not MIN_RATE_HZ <= frame.sample_rate <= MAX_RATE_HZ:
            raise MediaError(
                f"the audio has {frame.sample_rate} samples a second, expected {MIN_RATE_HZ} to {MAX_RATE_HZ}: "
                "give an undamaged file",
                reason="corrupt",
            )
        try:
            chunks = list(self._resampled(frame))
        except av.error.FFmpegError as error:
            raise MediaError(
                f"audio of {frame.layout.name} at {frame.sample_rate} Hz cannot be mixed to one channel "
                f"({error.strerror}): convert it",
                reason="unsupported",
            ) from None
        yield from chunks

    def _resampled(self, frame: av.AudioFrame) -> Iterator[AudioChunk]:
        source_format = (frame.sample_rate, frame.layout.name, frame.format.name)
        container_seconds = frame_pts_seconds(frame)
        pts_seconds = None if container_seconds is None else container_seconds - self._zero_seconds
        is_break = pts_seconds is not None and not self._clock.follows(pts_seconds)
        if self._resampler is not None and (is_break or source_format != self._source_format):
            yield from self.flush()
        if self._resampler is None:
            self._source_format = source_format
            self._resampler = self._opened(frame.layout)
            self._origin_seconds = self._now_seconds() if pts_seconds is None else pts_seconds
            self._clock = SteadyClock(self._origin_seconds)
            self._samples_out = 0
        self._clock.advance(pts_seconds, frame.samples / frame.sample_rate)
        frame.pts = None
        yield from self._emit(self._resampler.resample(frame))

    def _opened(self, layout: av.AudioLayout) -> av.AudioResampler:
        """Open the filter for a layout, and set what its output needs to become mono."""
        self._is_stereo = layout.name in STEREO_LAYOUTS and self._channels == "mix"
        if self._channels == "first":
            self._num_channels, self._gain = layout.nb_channels, np.float32(1.0)
            return av.AudioResampler(format="flt", layout=layout, rate=self._rate_hz)
        self._gain = np.float32(1.0) if self._is_stereo else mix_gain(layout.name)
        return av.AudioResampler(format="flt", layout="stereo" if self._is_stereo else "mono", rate=self._rate_hz)

    def flush(self) -> Iterator[AudioChunk]:
        """Return the audio that the filter still holds, and restart the count with the next frame."""
        if self._resampler is not None:
            yield from self._emit(self._resampler.resample(None))
            self._origin_seconds = self._now_seconds()
            self._samples_out = 0
            self._resampler = None

    @property
    def cancelled_seconds(self) -> float:
        """Duration of stereo in opposite phase, of which the difference was returned instead of the mix."""
        return self._stereo.cancelled_seconds

    def _now_seconds(self) -> float:
        return self._origin_seconds + self._samples_out / self._rate_hz

    def _emit(self, frames: list[av.AudioFrame]) -> Iterator[AudioChunk]:
        for frame in frames:
            samples = frame.to_ndarray().reshape(-1).astype(np.float32, copy=False)
            if self._is_stereo:
                samples = self._stereo.mix(samples.reshape(-1, 2))
            else:
                samples = samples[:: self._num_channels] * self._gain
            pts_seconds = self._now_seconds()
            self._samples_out += len(samples)
            if len(samples):
                yield AudioChunk(pts_seconds, samples)
