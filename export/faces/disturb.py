"""Changes that make clean footage as hard as footage from the field: smaller, noisier frames and noisy audio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SMALLEST_SCALE = 0.25
LARGEST_NOISE_LEVELS = 12.0
SNR_RANGE_DB = (-3.0, 12.0)
SMALLEST_SIDE_PX = 32


@dataclass(frozen=True)
class Disturbance:
    """One drawn change of a clip: `scale` of the frames, `noise_levels` of 256 grey levels added to them, and noise
    `snr_db` below the audio, white or, if `is_brown`, falling with frequency."""

    scale: float
    noise_levels: float
    snr_db: float
    is_brown: bool
    seed: int

    @classmethod
    def draw(cls, random: np.random.Generator) -> Disturbance:
        """Draw a change."""
        return cls(
            scale=float(np.exp(random.uniform(np.log(SMALLEST_SCALE), 0))),
            noise_levels=float(random.uniform(0, LARGEST_NOISE_LEVELS)),
            snr_db=float(random.uniform(*SNR_RANGE_DB)),
            is_brown=bool(random.random() < 0.5),
            seed=int(random.integers(2**31)),
        )

    def change_frame(self, frame: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        """Return the changed frame (H, W, 3) of this number; its size is another."""
        size = tuple(max(SMALLEST_SIDE_PX, round(side * self.scale)) for side in (frame.shape[1], frame.shape[0]))
        small = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
        random = np.random.default_rng((self.seed, number))
        noise = random.standard_normal((*small.shape[:2], 1), np.float32) * self.noise_levels
        changed: NDArray[np.uint8] = np.clip(small + noise, 0, 255).astype(np.uint8)
        return changed

    def change_audio(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the samples (n,) with noise."""
        noise = np.random.default_rng(self.seed).standard_normal(len(samples))
        if self.is_brown:
            # A leaky sum falls by 6 dB per octave above a few Hz.
            spectrum = np.fft.rfft(noise) / np.maximum(np.arange(len(noise) // 2 + 1), 1)
            noise = np.fft.irfft(spectrum, len(noise))
        level = np.sqrt(np.mean(samples.astype(np.float64) ** 2) / max(float(np.mean(noise**2)), 1e-20))
        changed: NDArray[np.float32] = (samples + level * 10 ** (-self.snr_db / 20) * noise).astype(np.float32)
        return changed
