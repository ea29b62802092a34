"""Strings: plucked (Karplus and Strong 1983), and bowed (Helmholtz's sawtooth through the resonances of a body)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import signal

from cavsync.data.synth.scene import AudioArray
from cavsync.data.synth.timbres import band_noise

Curve = npt.NDArray[np.float64]


def plucked(rng: np.random.Generator, rate_hz: int, pitch_hz: float, strength: float, seconds: float) -> AudioArray:
    """Return one plucked note from its first sample on; a strong pluck is louder and brighter."""
    period = rate_hz / pitch_hz - 0.5
    whole = int(period)
    count = int(seconds * rate_hz)
    excitation = np.zeros(count)
    burst = rng.uniform(-1, 1, whole)
    smooth = 1 - 0.75 * strength
    excitation[:whole] = signal.lfilter([1 - smooth], [1, -smooth], burst)
    # The loss per period is chosen so that low and high notes ring for about as long.
    loss = 0.5 * np.exp(-3.0 / (pitch_hz * 0.9))
    part = period - whole
    feedback = np.zeros(whole + 3)
    feedback[0] = 1.0
    feedback[whole : whole + 3] -= loss * np.array([1 - part, 1.0, part])
    wave = signal.lfilter([1.0], feedback, excitation)
    wave *= np.minimum(1.0, np.arange(count, 0, -1) / (0.02 * rate_hz))
    level = 0.6 * strength / max(float(np.abs(wave).max()), 1e-9)
    return np.asarray(level * wave, dtype=np.float32)


def bowed(rng: np.random.Generator, rate_hz: int, pitch_hz: Curve, bow_speed: Curve) -> AudioArray:
    """Return a bowed string from its pitch and the speed of the bow, 0..1, at each sample; no speed, no sound."""
    phase = np.cumsum(pitch_hz) / rate_hz
    speed = np.clip(bow_speed, 0, 1)
    wave = signal.sawtooth(2 * np.pi * phase) + 0.12 * band_noise(rng, len(phase), rate_hz, (1500, 5500))
    body = np.zeros_like(wave)
    for centre_hz, width_hz, gain in (
        (290.0, 80.0, 1.0),
        (480.0, 120.0, 0.9),
        (1100.0, 400.0, 0.6),
        (2600.0, 900.0, 0.5),
    ):
        b, a = signal.iirpeak(centre_hz * rng.uniform(0.92, 1.08), centre_hz / width_hz, fs=rate_hz)
        body += gain * signal.lfilter(b, a, wave)
    return np.asarray(0.4 * body * speed**0.8, dtype=np.float32)


def rubbed(
    rng: np.random.Generator, rate_hz: int, speed: Curve, band_hz: tuple[float, float], teeth: Curve
) -> AudioArray:
    """Return the noise of a saw or file that moves with `speed` 0..1, with `teeth` passed so far, at each sample."""
    noise = band_noise(rng, len(speed), rate_hz, band_hz)
    return np.asarray(
        0.16 * np.clip(speed, 0, 1) * noise * (1 + 0.7 * signal.sawtooth(2 * np.pi * teeth)), dtype=np.float32
    )
