"""Calls of animals: a source with a pitch contour through formants that open with the mouth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal

from cavsync.data.synth.scene import AudioArray


@dataclass(frozen=True)
class Species:
    """An animal's voice: pitch at the start, middle and end of a call, its length, how rough it is, the formants, and
    how many times a call repeats at once."""

    pitch_hz: tuple[float, float, float]
    seconds: tuple[float, float]
    roughness: float
    formants_hz: tuple[float, ...]
    tone: bool = False
    pulse_hz: float = 0.0


SPECIES: dict[str, Species] = {
    "dog": Species((340, 520, 260), (0.12, 0.2), 0.8, (620, 1300, 2500)),
    "cow": Species((120, 165, 110), (0.7, 1.2), 0.15, (420, 900, 2100)),
    "sheep": Species((330, 360, 300), (0.4, 0.7), 0.2, (700, 1500, 2700), pulse_hz=8.0),
    "cat": Species((500, 720, 430), (0.4, 0.7), 0.1, (900, 1900, 3100)),
    "bird": Species((2600, 3700, 2900), (0.06, 0.16), 0.0, (), tone=True),
    "frog": Species((180, 200, 170), (0.15, 0.3), 0.3, (750, 1600), pulse_hz=38.0),
    "duck": Species((230, 270, 210), (0.12, 0.22), 0.5, (1050, 1900, 2900)),
}


def call(rng: np.random.Generator, rate_hz: int, species: str, strength: float) -> tuple[AudioArray, float]:
    """Return one call, mono, from its onset on, and its length in seconds; the mouth is open meanwhile."""
    kind = SPECIES[species]
    seconds = rng.uniform(*kind.seconds)
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    part = time / seconds
    first, middle, last = (hz * rng.uniform(0.92, 1.08) for hz in kind.pitch_hz)
    pitch = np.interp(part, [0, 0.4, 1], [first, middle, last]) * (0.9 + 0.2 * strength)
    phase = 2 * np.pi * np.cumsum(pitch) / rate_hz
    if kind.tone:
        wave = np.sin(phase) + 0.2 * np.sin(2 * phase)
    else:
        source = signal.sawtooth(phase) + kind.roughness * rng.standard_normal(len(time))
        wave = np.zeros_like(time)
        for number, hz in enumerate(kind.formants_hz):
            b, a = signal.iirpeak(min(hz, 0.42 * rate_hz), 6.0, fs=rate_hz)
            wave += signal.lfilter(b, a, source) / (1 + 0.5 * number)
    if kind.pulse_hz > 0:
        wave *= 0.6 + 0.4 * signal.sawtooth(2 * np.pi * kind.pulse_hz * time + np.pi, 0.2)
    wave *= np.minimum(1, time / 0.008) * np.minimum(1, (seconds - time) / (0.3 * seconds))
    level = 0.55 * (0.4 + 0.6 * strength) / float(np.abs(wave).max())
    return np.asarray(level * wave, dtype=np.float32), seconds
