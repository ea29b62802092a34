"""Timbres: the sound of each kind of object when it is struck, the same in every clip up to small variations.

Struck bodies are sums of decaying partials with the ratios of their physics (bars, plates, membranes) plus a short
burst of contact noise; see Fletcher and Rossing, "The Physics of Musical Instruments".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import signal

from cavsync.data.synth.scene import AudioArray

Partials = Sequence[tuple[float, float, float]]  # frequency in Hz, amplitude, decay time constant in seconds


def struck(
    rng: np.random.Generator,
    rate_hz: int,
    partials: Partials,
    *,
    noise: float = 0.0,
    noise_band_hz: tuple[float, float] = (200.0, 7000.0),
    noise_decay_seconds: float = 0.02,
    glide: float = 0.0,
) -> AudioArray:
    """Synthesise one hit, mono, peak 1, that starts at its first sample; the pitch falls by the share `glide`."""
    longest = max([decay for _, _, decay in partials] + [noise_decay_seconds])
    time = np.arange(int(rate_hz * min(longest * 5, 2.0))) / rate_hz
    wave = np.zeros_like(time)
    for frequency_hz, amplitude, decay in partials:
        if frequency_hz < 0.45 * rate_hz:
            phase = 2 * np.pi * frequency_hz * (time + glide * 0.03 * (1 - np.exp(-time / 0.03)))
            wave += amplitude * np.exp(-time / decay) * np.cos(phase)
    if noise > 0:
        wave += noise * np.exp(-time / noise_decay_seconds) * band_noise(rng, len(time), rate_hz, noise_band_hz)
    # A contact takes about half a millisecond: short enough to be no audible delay, long enough to avoid a click.
    attack = max(1, rate_hz // 2000)
    wave[:attack] *= np.linspace(0.3, 1.0, attack)
    wave *= np.minimum(1.0, (time[-1] - time) / 0.02)
    return np.asarray(wave / np.abs(wave).max(), dtype=np.float32)


def band_noise(rng: np.random.Generator, count: int, rate_hz: int, band_hz: tuple[float, float]) -> AudioArray:
    """Synthesise white noise through a band-pass, standard deviation 1."""
    low, high = band_hz[0], min(band_hz[1], 0.45 * rate_hz)
    sections = signal.butter(2, (low, high), "bandpass", fs=rate_hz, output="sos")
    wave = signal.sosfilt(sections, rng.standard_normal(count + 256))[256:]
    return np.asarray(wave / max(float(np.std(wave)), 1e-9), dtype=np.float32)


Timbre = Callable[[np.random.Generator, int], AudioArray]


def _body(base_hz: float, spread: tuple[float, float], ratios: Partials, **options: Any) -> Timbre:
    """Return a timbre whose pitch is `base_hz` times a random factor in `spread`; partials are multiples of it."""

    def strike(rng: np.random.Generator, rate_hz: int) -> AudioArray:
        pitch_hz = base_hz * rng.uniform(*spread)
        return struck(rng, rate_hz, [(ratio * pitch_hz, gain, decay) for ratio, gain, decay in ratios], **options)

    return strike


def _hihat(rng: np.random.Generator, rate_hz: int) -> AudioArray:
    return struck(rng, rate_hz, [], noise=1.0, noise_band_hz=(5000, 7200), noise_decay_seconds=0.045)


def _cymbal(rng: np.random.Generator, rate_hz: int) -> AudioArray:
    partials = [(f * rng.uniform(0.97, 1.03), 0.25, 0.45) for f in (2400.0, 3150.0, 4200.0, 5300.0)]
    return struck(rng, rate_hz, partials, noise=0.3, noise_band_hz=(2500, 7000), noise_decay_seconds=0.35)


OBJECT_TIMBRES: dict[str, Timbre] = {
    "metal": _body(620, (0.9, 1.1), [(1, 1, 0.4), (2.76, 0.8, 0.3), (5.4, 0.5, 0.18), (8.93, 0.3, 0.1)]),
    "wood": _body(900, (0.9, 1.1), [(1, 1, 0.035), (2.57, 0.5, 0.02)], noise=0.3, noise_decay_seconds=0.008),
    "glass": _body(2900, (0.93, 1.07), [(1, 1, 0.22), (1.53, 0.6, 0.18), (2.2, 0.4, 0.12)]),
    "skin": _body(130, (0.9, 1.1), [(1, 1, 0.18), (1.59, 0.6, 0.12), (2.14, 0.4, 0.09)],
                  noise=0.15, noise_band_hz=(200, 900), glide=0.5),
    "tin": _body(1500, (0.9, 1.1), [(1, 0.4, 0.06), (1.37, 0.4, 0.05), (1.83, 0.3, 0.05)],
                 noise=0.4, noise_band_hz=(1200, 5000), noise_decay_seconds=0.09),
}  # fmt: skip
KIT_TIMBRES: dict[str, Timbre] = {
    "kick": _body(62, (0.9, 1.1), [(1, 1, 0.13), (2.2, 0.5, 0.06)], noise=0.2, noise_band_hz=(100, 500), glide=2.0),
    "snare": _body(200, (0.92, 1.08), [(1, 0.6, 0.07), (1.6, 0.4, 0.05)],
                   noise=0.35, noise_band_hz=(900, 6500), noise_decay_seconds=0.1),
    "hihat": _hihat,
    "cymbal": _cymbal,
    "tom": _body(165, (0.93, 1.07), [(1, 1, 0.25), (1.5, 0.35, 0.12)], noise=0.05, glide=0.8),
}  # fmt: skip


def note(
    rng: np.random.Generator, rate_hz: int, instrument: str, frequency_hz: float, hold_seconds: float
) -> AudioArray:
    """Synthesise one note of "piano", "organ", "pluck" or "chime", peak 1; the organ stops after `hold_seconds`."""
    if instrument == "organ":
        return _organ(rate_hz, frequency_hz, hold_seconds)
    harmonics = {
        "piano": [(k, 1 / k, 0.7 / k**0.5) for k in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)],
        "pluck": [(k, 1 / k**1.4, 0.35 / k) for k in (1.0, 2.0, 3.0, 4.0, 5.0)],
        "chime": [(1.0, 1.0, 0.6), (2.76, 0.4, 0.25), (5.4, 0.2, 0.1)],
    }[instrument]
    return struck(rng, rate_hz, [(frequency_hz * k, a, d) for k, a, d in harmonics], noise=0.03)


def _organ(rate_hz: int, frequency_hz: float, hold_seconds: float) -> AudioArray:
    time = np.arange(int(rate_hz * hold_seconds)) / rate_hz
    wave = np.zeros_like(time)
    for harmonic, amplitude in ((1, 1.0), (2, 0.6), (3, 0.4), (4, 0.25), (6, 0.15)):
        if harmonic * frequency_hz < 0.45 * rate_hz:
            wave += amplitude * np.sin(2 * np.pi * harmonic * frequency_hz * time)
    wave *= np.minimum(1.0, time / 0.004) * np.minimum(1.0, (hold_seconds - time) / 0.06) * np.exp(-time / 1.0)
    return np.asarray(wave / np.abs(wave).max(), dtype=np.float32)
