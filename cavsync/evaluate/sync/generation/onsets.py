"""Onsets of sound, by the rule of librosa's `onset_detect` with its defaults, which AV-Align uses.

Spectral flux: the mean rise in dB of 128 mel bands from one frame to the next; of its peaks, those that exceed the mean
around them. Source: librosa 0.11 (ISC licence); Boeck, Krebs and Schedl, ISMIR 2012.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

FloatArray = NDArray[np.float64]

RATE_HZ = 22_050
FFT_SAMPLES = 2048
HOP_SAMPLES = 512
NUM_MEL_BANDS = 128
MIN_POWER = 1e-10
RANGE_DB = 80.0
BLOCK_FRAMES = 1024
"""Frames transformed at a time, so that the spectrum of a long file is never whole in memory."""
# Frames before and after a peak over which it is the highest, and over which it exceeds the mean; librosa's 30 and
# 100 ms, rounded down.
PEAK_BEFORE, MEAN_BEFORE, MEAN_AFTER = 1, 4, 5
ABOVE_MEAN = 0.07
WAIT = 1


def onset_times_seconds(samples: NDArray[np.float32]) -> FloatArray:
    """Return the times (k,) of the onsets in mono samples (n,) at `RATE_HZ`, from the first sample on."""
    return picked(onset_strength(samples)) * HOP_SAMPLES / RATE_HZ


def onset_strength(samples: NDArray[np.float32]) -> FloatArray:
    """Return the spectral flux (frames,), one per hop, frame 0 centred on the first sample."""
    level_db = _mel_db(samples)
    rise = np.maximum(np.diff(level_db, axis=1), 0.0).mean(axis=0)
    # As in librosa, the rise is moved later by half a window and one frame: an onset counts where the window holds it.
    return np.pad(rise, (1 + FFT_SAMPLES // (2 * HOP_SAMPLES), 0))[: level_db.shape[1]]


def picked(strength: FloatArray) -> NDArray[np.int64]:
    """Return the places (k,) of the peaks of a flux (frames,), ascending; none where it is constant."""
    height = strength - strength.min(initial=np.inf)
    if not height.any():
        return np.zeros(0, np.int64)
    height = height / height.max()
    found: list[int] = []
    for place, value in enumerate(height):
        is_free = not found or place - found[-1] > WAIT
        is_highest = value == height[max(0, place - PEAK_BEFORE) : place + 1].max()
        around = height[max(0, place - MEAN_BEFORE) : place + MEAN_AFTER]
        if is_free and is_highest and value >= around.mean() + ABOVE_MEAN:
            found.append(place)
    return np.array(found, np.int64)


def _mel_db(samples: NDArray[np.float32]) -> FloatArray:
    """Return the level (bands, frames) in dB, at most `RANGE_DB` below the highest."""
    import torch

    window, bank = torch.hann_window(FFT_SAMPLES), _mel_bank()
    padded = torch.from_numpy(np.pad(samples, FFT_SAMPLES // 2))
    frames = padded.unfold(0, FFT_SAMPLES, HOP_SAMPLES)
    parts = [
        (bank.T @ torch.fft.rfft(block * window).abs().square().T).numpy().astype(np.float64)
        for block in frames.split(BLOCK_FRAMES)
    ]
    level_db = 10 * np.log10(np.maximum(np.concatenate(parts, axis=1), MIN_POWER))
    found: FloatArray = np.maximum(level_db, level_db.max() - RANGE_DB)
    return found


@cache
def _mel_bank() -> torch.Tensor:
    from torchaudio.functional import melscale_fbanks

    bank: torch.Tensor = melscale_fbanks(
        FFT_SAMPLES // 2 + 1, 0.0, RATE_HZ / 2, NUM_MEL_BANDS, RATE_HZ, norm="slaney", mel_scale="slaney"
    )
    return bank
