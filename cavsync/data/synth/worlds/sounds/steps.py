"""Footsteps by surface: heel, then sole."""

from __future__ import annotations

import numpy as np

from cavsync.data.synth.scene import AudioArray
from cavsync.data.synth.timbres import band_noise
from cavsync.data.synth.worlds.sounds.impact import impact

SURFACES = ("boards", "stone", "gravel", "snow", "metal")
_UNDERFOOT = {"boards": ("wood", 2.2), "stone": ("stone", 1.4), "metal": ("steel", 1.8)}


def footstep(rng: np.random.Generator, rate_hz: int, surface: str, strength: float) -> AudioArray:
    """Return one footstep, mono, from the first touch of the heel on."""
    if surface in _UNDERFOOT:
        material, size = _UNDERFOOT[surface]
        heel = impact(rng, rate_hz, material, strength, size * rng.uniform(0.9, 1.1))
        sole = 0.4 * impact(rng, rate_hz, material, 0.6 * strength, size)
        gap = round(rng.uniform(0.05, 0.09) * rate_hz)
        wave = np.zeros(max(len(heel), gap + len(sole)))
        wave[: len(heel)] += heel
        wave[gap : gap + len(sole)] += sole
        return np.asarray(0.9 * wave, dtype=np.float32)
    # Loose ground: many small grains under the pressure of the heel, then of the sole.
    time = np.arange(int(0.28 * rate_hz)) / rate_hz
    pressure = np.exp(-time / 0.04) + 0.7 * np.exp(-(((time - 0.13) / 0.05) ** 2))
    band = (900.0, 6500.0) if surface == "gravel" else (350.0, 2200.0)
    grains = (rng.random(len(time)) < (900 if surface == "gravel" else 4000) / rate_hz) * rng.standard_normal(len(time))
    noise = np.convolve(grains, np.exp(-np.arange(rate_hz // 500) / (rate_hz / 2500)), "same")
    wave = pressure * (noise / max(float(noise.std()), 1e-9) + 0.5) * band_noise(rng, len(time), rate_hz, band)
    wave *= np.minimum(1.0, (time[-1] - time) / 0.02)
    return np.asarray(0.55 * strength * wave / float(np.abs(wave).max()), dtype=np.float32)
