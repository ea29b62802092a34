"""Random changes that leave the timing of a sample alone: one draw for all instants of a clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_SHIFT_SHARE = 0.1
MAX_CONTRAST_NEPERS = 0.3
MAX_COLOUR_NEPERS = 0.1
MAX_BRIGHTNESS_LEVELS = 30.0
MAX_GAIN_NEPERS = 1.5
MAX_MASKED_BANDS = 2
MAX_BAND_BINS = 16
NOISE_FLOOR_RANGE = (-14.0, -7.0)


@dataclass(frozen=True)
class ColourChange:
    """Pixel levels become `levels * gain + offset`, (3,) each; applied where pixels turn into floating point anyway."""

    gain: NDArray[np.float32]
    offset: NDArray[np.float32]

    @classmethod
    def draw(cls, random: np.random.Generator) -> ColourChange:
        """Another contrast, brightness and colour balance, around mid-grey."""
        nepers = random.uniform(-MAX_CONTRAST_NEPERS, MAX_CONTRAST_NEPERS)
        gain = np.exp(nepers + random.uniform(-MAX_COLOUR_NEPERS, MAX_COLOUR_NEPERS, size=3))
        offset = 128 * (1 - gain) + random.uniform(-MAX_BRIGHTNESS_LEVELS, MAX_BRIGHTNESS_LEVELS)
        return cls(gain.astype(np.float32), offset.astype(np.float32))

    @classmethod
    def none(cls) -> ColourChange:
        """Leaves every pixel as it is."""
        return cls(np.ones(3, dtype=np.float32), np.zeros(3, dtype=np.float32))


def augment_pictures(frames: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Pictures (..., S, S): mirrored half of the time, moved by up to a tenth of the side, edges repeated."""
    if random.random() < 0.5:
        frames = frames[..., ::-1]
    limit = round(frames.shape[-1] * MAX_SHIFT_SHARE)
    down, right = (int(step) for step in random.integers(-limit, limit + 1, size=2))
    return _moved(_moved(frames, down, axis=-2), right, axis=-1)


def _moved(frames: NDArray[np.uint8], step: int, axis: int) -> NDArray[np.uint8]:
    rows = np.clip(np.arange(frames.shape[axis]) - step, 0, frames.shape[axis] - 1)
    return np.take(frames, rows, axis=axis)


def augment_sound(features: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Raw log-mel (K, L, 128): another level, a raised noise floor, and SpecAugment's frequency bands at the floor."""
    floor = random.uniform(*NOISE_FLOOR_RANGE)
    louder = features + np.float32(random.uniform(-MAX_GAIN_NEPERS, MAX_GAIN_NEPERS))
    noisy: NDArray[np.float32] = np.logaddexp(louder, np.float32(floor))
    for _ in range(random.integers(0, MAX_MASKED_BANDS + 1)):
        width = random.integers(1, MAX_BAND_BINS + 1)
        first = random.integers(0, features.shape[-1] - width + 1)
        noisy[..., first : first + width] = floor
    return noisy
