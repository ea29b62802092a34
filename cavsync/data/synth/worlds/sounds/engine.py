"""Engines, blowers and pumps, from their speed of rotation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import signal

from cavsync.data.synth.scene import AudioArray
from cavsync.data.synth.timbres import band_noise

Curve = npt.NDArray[np.float64]


def engine(rng: np.random.Generator, rate_hz: int, speed: Curve, top_hz: float) -> AudioArray:
    """Return a combustion engine: bangs at `top_hz` times the speed (0..1 at each sample), through an exhaust."""
    phase = np.cumsum(speed * top_hz) / rate_hz
    bangs = np.exp(-6 * (phase % 1.0)) - 0.17
    wave = bangs + 0.4 * np.sin(np.pi * phase) + 0.5 * bangs * band_noise(rng, len(phase), rate_hz, (300, 2500))
    b, a = signal.iirpeak(180 * rng.uniform(0.7, 1.5), 1.5, fs=rate_hz)
    wave = 0.5 * wave + signal.lfilter(b, a, wave)
    return np.asarray(0.24 * wave * np.clip(speed, 0, 1) ** 0.7 * (speed > 0.02), dtype=np.float32)


def blower(rng: np.random.Generator, rate_hz: int, speed: Curve, top_hz: float) -> AudioArray:
    """Return a blower or an electric motor: air noise and a whine whose pitch follows the speed."""
    phase = 2 * np.pi * np.cumsum(speed * top_hz) / rate_hz
    whine = sum(np.sin(order * phase) / order for order in (1, 2, 3, 5))
    noise = band_noise(rng, len(phase), rate_hz, (250, 4500))
    return np.asarray((0.12 * whine + 0.1 * noise) * np.clip(speed, 0, 1) ** 1.5, dtype=np.float32)


def thump(rng: np.random.Generator, rate_hz: int, strength: float) -> AudioArray:
    """Return one stroke of a pump or press: a knock and a puff of air."""
    time = np.arange(int(0.25 * rate_hz)) / rate_hz
    knock = np.exp(-time / 0.03) * np.sin(2 * np.pi * (90 + 60 * np.exp(-time / 0.01)) * time + 1.0)
    puff = 0.35 * np.exp(-time / 0.05) * band_noise(rng, len(time), rate_hz, (900, 5000))
    wave = (knock + puff) * np.minimum(1.0, (time[-1] - time) / 0.02)
    return np.asarray(0.6 * strength * wave / float(np.abs(wave).max()), dtype=np.float32)
