"""Clicks of a mouse and of keys, and signals of a computer."""

from __future__ import annotations

import numpy as np

from cavsync.data.synth.scene import AudioArray
from cavsync.data.synth.timbres import band_noise, struck


def mouse_click(rng: np.random.Generator, rate_hz: int, strength: float) -> AudioArray:
    """Return a click: press and release 70 ms later."""
    wave = np.zeros(int(0.14 * rate_hz), dtype=np.float32)
    for start, gain in ((0.0, 1.0), (0.07, 0.5)):
        tick = struck(rng, rate_hz, [(2600, 0.6, 0.003), (4100, 0.5, 0.002)], noise=0.6, noise_band_hz=(1500, 7000),
                      noise_decay_seconds=0.004)[: int(0.05 * rate_hz)]  # fmt: skip
        at = round(start * rate_hz)
        wave[at : at + len(tick)] += np.float32(gain) * tick
    return np.asarray(0.5 * strength * wave, dtype=np.float32)


def key_click(rng: np.random.Generator, rate_hz: int, strength: float) -> AudioArray:
    """Return the clack of one key."""
    wave = struck(rng, rate_hz, [(420 * rng.uniform(0.8, 1.2), 0.5, 0.012), (1750 * rng.uniform(0.9, 1.1), 0.4, 0.006)],
                  noise=0.5, noise_band_hz=(800, 5000), noise_decay_seconds=0.009)  # fmt: skip
    return np.asarray(0.45 * strength * wave, dtype=np.float32)


def signal_tone(rng: np.random.Generator, rate_hz: int, tones_hz: tuple[float, ...]) -> AudioArray:
    """Return a signal of soft tones, 90 ms each."""
    step = round(0.09 * rate_hz)
    wave = np.zeros(step * (len(tones_hz) - 1) + round(0.3 * rate_hz))
    time = np.arange(round(0.3 * rate_hz)) / rate_hz
    for number, hz in enumerate(tones_hz):
        tone = np.exp(-time / 0.08) * np.minimum(1, time / 0.003) * (np.sin(2 * np.pi * hz * time))
        wave[number * step : number * step + len(time)] += tone
    wave += 0.002 * band_noise(rng, len(wave), rate_hz, (500, 4000)) * np.exp(-np.arange(len(wave)) / step)
    return np.asarray(0.35 * wave / float(np.abs(wave).max()), dtype=np.float32)
