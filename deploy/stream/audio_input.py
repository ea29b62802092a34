"""Audio of any rate, layout and type, checked and converted to 16 kHz mono float32."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from cavsync.errors import MediaError
from cavsync.media.align import SAMPLE_RATE_HZ
from cavsync.media.resample import AudioChunk, MonoResampler, StereoMix

MIN_RATE_HZ = 1_000
MAX_RATE_HZ = 768_000
# Float audio may exceed full scale a little; values above this are unscaled integers.
MAX_AMPLITUDE = 100.0
MICROSECOND = Fraction(1, 1_000_000)
# Timestamps that advance by less or more than this share of the audio's length indicate a wrong rate (48 kHz pushed
# as 44.1 kHz: 0.92). A single step, as after an edit, affects one span; a wrong rate affects all of them.
MIN_ADVANCE_SHARE = 0.95
MAX_ADVANCE_SHARE = 1.05
GAP_SHARE = 1.02
MOSTLY = 0.9
RATE_CHECK_SECONDS = 2.0
RATE_CHECK_SPANS = 2


class AudioInput:
    """Push audio of any rate, layout and type; get it at 16 kHz.

    Channels are averaged; of two that cancel (opposite phase) the difference is taken.
    """

    def __init__(self) -> None:
        self._resampler: MonoResampler | None = None
        self._stereo: StereoMix | None = None
        self._stereo_rate_hz = 0
        self._rate_check = _RateCheck()

    def push(self, samples: Any, pts_seconds: float, sample_rate_hz: int) -> Iterator[AudioChunk]:
        """Check and convert one piece of audio, (n,) or (n, channels).

        Raises:
            MediaError: wrong type, shape or rate, samples that are not finite, or timestamps that contradict the rate.
        """
        checked = _checked(samples)
        rate_hz = _checked_rate(sample_rate_hz)
        mono = self._mixed(checked, rate_hz)
        self._rate_check.add(pts_seconds, len(mono) / rate_hz, rate_hz)
        return self._convert(mono, pts_seconds, rate_hz) if len(mono) else iter(())

    def flush(self) -> Iterator[AudioChunk]:
        """Return the samples that the resampling filter still holds."""
        if self._resampler is not None:
            yield from self._resampler.flush()
            self._resampler = None

    def _mixed(self, samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
        """Mix samples (n,) or (n, channels) to (n,)."""
        if samples.ndim == 1:
            return samples
        if samples.shape[1] != 2:
            mean: NDArray[np.float32] = samples.mean(axis=1, dtype=np.float32)
            return mean
        if self._stereo is None or rate_hz != self._stereo_rate_hz:
            self._stereo, self._stereo_rate_hz = StereoMix(rate_hz), rate_hz
        return self._stereo.mix(samples)

    def _convert(self, mono: NDArray[np.float32], pts_seconds: float, rate_hz: int) -> Iterator[AudioChunk]:
        if rate_hz == SAMPLE_RATE_HZ:
            yield from self.flush()
            yield AudioChunk(pts_seconds, mono)
            return
        if self._resampler is None:
            self._resampler = MonoResampler(SAMPLE_RATE_HZ)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(mono[None]), format="flt", layout="mono")
        frame.sample_rate = rate_hz
        frame.pts = round(pts_seconds / MICROSECOND)
        frame.time_base = MICROSECOND
        yield from self._resampler.push(frame)


class _RateCheck:
    """Compares how far timestamps advance with the length of the audio: a wrong rate must not be scored."""

    def __init__(self) -> None:
        self._last_seconds: float | None = None
        self._last_length_seconds = 0.0
        self._num_wrong_spans = 0
        self._share = 1.0
        self._begin_span()

    def add(self, pts_seconds: float, length_seconds: float, rate_hz: int) -> None:
        """Add a piece; MediaError while the last `RATE_CHECK_SPANS` spans had a wrong rate."""
        last_seconds, self._last_seconds = self._last_seconds, pts_seconds
        last_length_seconds, self._last_length_seconds = self._last_length_seconds, length_seconds
        if last_seconds is None or last_length_seconds == 0:
            return
        advance_seconds = pts_seconds - last_seconds
        if not 0 < advance_seconds < last_length_seconds + 1:
            self._num_wrong_spans = 0
            self._begin_span()
            return
        self._advance_seconds += advance_seconds
        self._audio_seconds += last_length_seconds
        self._num_pieces += 1
        self._num_apart += advance_seconds > GAP_SHARE * last_length_seconds
        if self._audio_seconds >= RATE_CHECK_SECONDS:
            self._end_span()
        if self._num_wrong_spans >= RATE_CHECK_SPANS:
            raise MediaError(
                f"the audio's timestamps advance by {self._share:.2f} s per second of audio at {rate_hz} Hz: push it "
                f"with its true rate, perhaps {rate_hz / self._share:.0f} Hz"
            )

    def _end_span(self) -> None:
        share = self._advance_seconds / self._audio_seconds
        # Lost packets leave gaps between some pieces, a rate that is too high leaves gaps between all of them.
        is_apart = share > MAX_ADVANCE_SHARE and self._num_apart > MOSTLY * self._num_pieces
        is_wrong = share < MIN_ADVANCE_SHARE or is_apart
        self._num_wrong_spans = self._num_wrong_spans + 1 if is_wrong else 0
        self._share = share
        self._begin_span()

    def _begin_span(self) -> None:
        self._advance_seconds = self._audio_seconds = 0.0
        self._num_pieces = self._num_apart = 0


def _checked(samples: Any) -> NDArray[np.float32]:
    """Return samples (n,) or (n, channels) as float32 in [-1, 1]."""
    if not isinstance(samples, np.ndarray) or samples.dtype not in (np.float32, np.int16):
        found = samples.dtype if isinstance(samples, np.ndarray) else type(samples).__name__
        raise MediaError(f"the audio is {found}: push a numpy array of float32 in [-1, 1] or int16")
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and samples.shape[1] == 0):
        raise MediaError(f"the audio has shape {samples.shape}: push (samples,) or (samples, channels)")
    scaled: NDArray[np.float32] = samples
    if samples.dtype == np.int16:
        scaled = samples.astype(np.float32) / np.float32(32768)
    if not np.isfinite(scaled).all():
        raise MediaError("the audio holds NaN or infinite values: push finite samples in [-1, 1]")
    if scaled.size and np.abs(scaled).max() > MAX_AMPLITUDE:
        raise MediaError(
            f"the audio reaches {np.abs(scaled).max():.0f}, full scale is 1: divide the samples by their range"
        )
    return scaled


def _checked_rate(sample_rate_hz: Any) -> int:
    is_rate = isinstance(sample_rate_hz, int | np.integer) and MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ
    if not is_rate:
        raise MediaError(
            f"the sample rate is {sample_rate_hz!r}: give a whole number from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
        )
    return int(sample_rate_hz)
