"""The baseline without learning: motion energy against loudness.

Mean absolute frame differences at 64 x 64 are correlated with the log-energy envelope of the audio, and with its
rise; the lag of the highest correlation is the offset. In real clips motion and loudness coincide often enough to beat
guessing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cavsync.errors import MediaError

Signal = npt.NDArray[np.float64]

# In real clips motion precedes its sound (a hand moves before it claps): measured on clips known to be in sync.
REAL_CLIPS_ZERO_POINT_MS = 60.0
_GRID_HZ = 100
_ENERGY_WINDOW_SECONDS = 0.025
_MIN_OVERLAP_SECONDS = 1.0


@dataclass(frozen=True)
class Estimate:
    """Offset of the best lag (> 0: the audio is early) and the normalised correlation there, in -1..1."""

    audio_offset_ms: float
    correlation: float


@dataclass(frozen=True)
class MotionEstimate:
    """One estimate per kind of envelope: log energy, and its half-wave rectified rise."""

    energy: Estimate
    rise: Estimate


def estimate_offset_ms(
    frames: npt.NDArray[np.uint8],
    frame_pts_seconds: npt.ArrayLike,
    audio: npt.NDArray[np.float32],
    sample_rate: int,
    max_offset_ms: float = 1000.0,
    zero_point_ms: float = 0.0,
) -> MotionEstimate:
    """Estimate the offset by motion energy against loudness.

    `frames` are grey (n, 64, 64), `frame_pts_seconds` (n,) increasing, `audio` is mono (samples,) and starts at time 0.
    `zero_point_ms` is the time by which motion precedes its sound in clips that are in sync (REAL_CLIPS_ZERO_POINT_MS
    for real ones). Raises MediaError for fewer than three frames or less than a second of common time beyond
    `max_offset_ms`.
    """
    pts = np.asarray(frame_pts_seconds, dtype=np.float64)
    if len(frames) < 3 or len(frames) != len(pts):
        raise MediaError(f"Got {len(frames)} frames with {len(pts)} timestamps, but three or more pairs are expected.")
    grid = np.arange(pts[1], min(pts[-1], len(audio) / sample_rate), 1 / _GRID_HZ)
    max_lag = round(max_offset_ms / 1000 * _GRID_HZ)
    if len(grid) < max_lag + _MIN_OVERLAP_SECONDS * _GRID_HZ:
        raise MediaError(
            f"Video and audio share {len(grid) / _GRID_HZ:.1f} s, but {max_offset_ms / 1000 + 1:.1f} s are expected:"
            " use a longer clip or a smaller max_offset_ms."
        )
    motion, loudness, rise = _signals(frames, pts, audio, sample_rate, grid)
    return MotionEstimate(
        energy=_best(motion, loudness, max_lag, zero_point_ms), rise=_best(motion, rise, max_lag, zero_point_ms)
    )


def motion_curves(
    frames: npt.NDArray[np.uint8],
    frame_pts_seconds: npt.ArrayLike,
    audio: npt.NDArray[np.float32],
    sample_rate: int,
    max_lag_ms: float,
) -> tuple[Signal, Signal, Signal]:
    """Correlate motion with the loudness and with its rise, over lags in steps of 10 ms; return (lags_ms, energy,
    rise).

    Inputs as for `estimate_offset_ms`. NaN for lags with less than a second in common.
    """
    pts = np.asarray(frame_pts_seconds, dtype=np.float64)
    steps = round(max_lag_ms / 1000 * _GRID_HZ)
    lags = np.arange(-steps, steps + 1)
    grid = np.arange(pts[1], min(pts[-1], len(audio) / sample_rate), 1 / _GRID_HZ) if len(pts) > 2 else np.empty(0)
    lags_ms, unknown = lags * 1000.0 / _GRID_HZ, np.full(len(lags), np.nan)
    if len(grid) < _MIN_OVERLAP_SECONDS * _GRID_HZ:
        return lags_ms, unknown, unknown
    motion, loudness, rise = _signals(frames, pts, audio, sample_rate, grid)
    common = len(grid) - np.abs(lags) >= _MIN_OVERLAP_SECONDS * _GRID_HZ
    curves = [
        np.array(
            [
                _correlation(motion, envelope, int(lag)) if fits else np.nan
                for lag, fits in zip(lags, common, strict=True)
            ]
        )
        for envelope in (loudness, rise)
    ]
    return lags_ms, curves[0], curves[1]


def _signals(
    frames: npt.NDArray[np.uint8], pts_seconds: Signal, audio: npt.NDArray[np.float32], sample_rate: int, grid: Signal
) -> tuple[Signal, Signal, Signal]:
    """Return motion energy, loudness and the rise of the loudness at the times `grid`."""
    motion = np.interp(grid, pts_seconds[1:], motion_energy(frames))
    loudness = log_energy(audio, sample_rate, grid)
    return motion, loudness, np.maximum(np.diff(loudness, prepend=loudness[0]), 0.0)


def motion_energy(frames: npt.NDArray[np.uint8]) -> Signal:
    """Return the mean absolute difference of each frame from the one before; (n, height, width) -> (n - 1,)."""
    differences = np.abs(np.diff(frames.astype(np.int16), axis=0))
    return np.asarray(differences.mean(axis=(1, 2)), dtype=np.float64)


def log_energy(audio: npt.NDArray[np.float32], sample_rate: int, times_seconds: Signal) -> Signal:
    """Return the log of the mean power in 25 ms around each of `times_seconds`, with a floor of -80 dBFS."""
    totals = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64))])
    half = _ENERGY_WINDOW_SECONDS / 2
    edges = [np.rint((times_seconds + shift) * sample_rate).clip(0, len(audio)).astype(int) for shift in (-half, half)]
    power = (totals[edges[1]] - totals[edges[0]]) / (_ENERGY_WINDOW_SECONDS * sample_rate)
    return np.asarray(np.log(power + 1e-8), dtype=np.float64)


def _best(motion: Signal, envelope: Signal, max_lag: int, zero_point_ms: float) -> Estimate:
    """Return the lag of the highest correlation, in steps by which the audio is later than the motion, as an offset."""
    lags = np.arange(-max_lag, max_lag + 1)
    scores = np.array([_correlation(motion, envelope, int(lag)) for lag in lags])
    best = int(np.argmax(scores))
    return Estimate(zero_point_ms - float(lags[best]) * 1000 / _GRID_HZ, float(scores[best]))


def _correlation(motion: Signal, envelope: Signal, lag: int) -> float:
    """Return Pearson's correlation of motion(t) with envelope(t + lag) where both exist; 0 if either is constant."""
    count = len(motion) - abs(lag)
    first = motion[max(-lag, 0) :][:count] - motion[max(-lag, 0) :][:count].mean()
    second = envelope[max(lag, 0) :][:count] - envelope[max(lag, 0) :][:count].mean()
    norm = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / norm if norm > 0 else 0.0
