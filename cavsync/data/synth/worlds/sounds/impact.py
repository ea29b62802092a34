"""Impacts and rolling: modes of struck bodies by material and strength (van den Doel and Pai 1998)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cavsync.data.synth.scene import AudioArray
from cavsync.data.synth.timbres import band_noise

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """A solid material: `base_hz` of a piece of about 10 cm, ratios of its modes, decay time of a mode of 1 kHz, share
    and band of the contact noise, and softness (how much a weak blow loses of its treble)."""

    base_hz: float
    ratios: tuple[float, ...]
    decay_seconds: float
    noise: float
    noise_band_hz: tuple[float, float]
    softness: float


_PLATE = (1.0, 1.59, 2.14, 2.65, 3.16, 3.5)
_BAR = (1.0, 2.76, 5.4, 8.93)
MATERIALS: dict[str, Material] = {
    "steel": Material(780, _BAR, 0.32, 0.15, (1500, 7000), 0.2),
    "tin": Material(1350, (1.0, 1.37, 1.83, 2.4, 3.1), 0.08, 0.5, (1200, 6000), 0.3),
    "glass": Material(2300, (1.0, 1.53, 2.2, 3.1), 0.18, 0.15, (3000, 7500), 0.2),
    "stone": Material(1700, (1.0, 1.71, 2.6), 0.018, 0.6, (800, 6000), 0.3),
    "wood": Material(520, (1.0, 2.57, 4.1), 0.03, 0.35, (300, 3500), 0.5),
    "plastic": Material(900, (1.0, 1.9, 2.7), 0.022, 0.45, (600, 4500), 0.5),
    "rubber": Material(150, _PLATE[:3], 0.05, 0.25, (120, 900), 0.9),
    "leather": Material(95, _PLATE, 0.11, 0.3, (120, 1500), 0.8),
    "ceramic": Material(1500, (1.0, 1.47, 2.09, 2.56), 0.07, 0.25, (1500, 6000), 0.3),
}


def impact(rng: np.random.Generator, rate_hz: int, material: str, strength: float, size: float = 1.0) -> AudioArray:
    """Return one blow, mono, from its first sample on. `strength` in 0..1 sets level and treble, `size` (1: about
    10 cm) the pitch."""
    body = MATERIALS[material]
    pitch_hz = body.base_hz / size
    longest = min(body.decay_seconds * 6 * max(1.0, size), 1.6)
    time = np.arange(max(int(longest * rate_hz), rate_hz // 20)) / rate_hz
    wave = np.zeros_like(time)
    bright_hz = 12_000 * (1 - body.softness) + 12_000 * body.softness * strength
    for number, ratio in enumerate(body.ratios):
        hz = pitch_hz * ratio
        if hz < 0.45 * rate_hz:
            # Inner friction: higher modes die sooner.
            decay = body.decay_seconds * max(1.0, size) * min((1000 / hz) ** 0.6, 2.5)
            gain = np.exp(-hz / bright_hz) * rng.uniform(0.6, 1.0) / (1 + 0.4 * number)
            wave += gain * np.exp(-time / decay) * np.sin(2 * np.pi * hz * time + np.pi / 3)
    click = body.noise * (0.5 + 0.5 * strength)
    wave += (
        click
        * np.exp(-time / (0.006 + 0.01 * (1 - strength)))
        * band_noise(rng, len(time), rate_hz, body.noise_band_hz)
    )
    attack = max(1, rate_hz // 2000)
    wave[:attack] *= np.linspace(0.3, 1.0, attack)
    wave *= np.minimum(1.0, (time[-1] - time) / 0.01)
    level = 0.65 * strength**1.1 / float(np.abs(wave).max())
    return np.asarray(level * wave, dtype=np.float32)


def rolling(rng: np.random.Generator, rate_hz: int, material: str, speed: Curve, turns: Curve) -> AudioArray:
    """Return the noise of a ball that rolls, from its speed in m/s and its angle in turns at each sample."""
    body = MATERIALS[material]
    low = min(body.base_hz, 1200.0)
    noise = band_noise(rng, len(speed), rate_hz, (0.5 * low, min(4 * low, 0.4 * rate_hz)))
    unevenness = 1 + 0.6 * np.sin(2 * np.pi * turns)
    return np.asarray(0.05 * noise * np.clip(speed, 0, 2) ** 1.3 * unevenness, dtype=np.float32)
