"""Random changes to audio: drawn once for all segments of a clip, applied to raw log-mel on any device.

Log-mel values are natural logarithms of power.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cavsync.data.augment.config import Augmentation
from cavsync.data.clip import Clip
from cavsync.data.clip_audio import LogMel, Waveform
from cavsync.data.logmel import AUDIO_MEAN, NUM_MEL_BINS

NEPERS_PER_DB = math.log(10) / 10
NOISE_FLOOR_RANGE = (-14.0, -7.0)
BACKGROUND_RANGE_DB = (-20.0, -3.0)
LOUD_QUANTILE = 0.95

MaskRange = tuple[int, int]


@dataclass(frozen=True)
class AudioChange:
    """The change to all segments of a clip. Spans are (first, number) of the bins or log-mel frames that are masked."""

    gain_nepers: float = 0.0
    mel_shift_bins: int = 0
    noise_floor: float | None = None
    masked_bins: MaskRange = (0, 0)
    masked_frames: MaskRange = (0, 0)
    mask_level: float = AUDIO_MEAN
    noise: float = 0.0
    noise_seed: int = 0
    roll_frames: int = 0

    @classmethod
    def draw(cls, augmentation: Augmentation, length_frames: int, random: np.random.Generator) -> AudioChange:
        """Draw a change within the augmentation's limits, for segments of `length_frames` log-mel frames."""
        limit = augmentation.gain_db * NEPERS_PER_DB
        shift, roll = augmentation.mel_shift_bins, augmentation.time_shift_frames
        return cls(
            gain_nepers=float(random.uniform(-limit, limit)),
            mel_shift_bins=int(random.integers(-shift, shift + 1)),
            noise_floor=float(random.uniform(*NOISE_FLOOR_RANGE)) if augmentation.noise_floor else None,
            masked_bins=_draw_range(augmentation.frequency_mask_bins, NUM_MEL_BINS, random),
            masked_frames=_draw_range(augmentation.time_mask_frames, length_frames, random),
            mask_level=AUDIO_MEAN if augmentation.mask_fill == "mean" else 0.0,
            noise=float(random.uniform(0, augmentation.feature_noise)),
            noise_seed=int(random.integers(2**31)),
            roll_frames=int(random.integers(-roll, roll + 1)),
        )

    def apply(self, features: Tensor) -> Tensor:
        """Return raw log-mel (K, L, 128) after all changes."""
        changed = features + self.gain_nepers
        if self.mel_shift_bins:
            bins = torch.arange(NUM_MEL_BINS, device=features.device) - self.mel_shift_bins
            changed = changed[..., bins.clamp(0, NUM_MEL_BINS - 1)]
        if self.noise_floor is not None:
            changed = torch.logaddexp(changed, changed.new_tensor(self.noise_floor))
        first, number = self.masked_bins
        changed[..., first : first + number] = self.mask_level
        first, number = self.masked_frames
        changed[..., first : first + number, :] = self.mask_level
        if self.noise:
            # Drawn on the CPU, so that every device gets the same numbers.
            generator = torch.Generator().manual_seed(self.noise_seed)
            changed = changed + torch.rand(changed.shape, generator=generator).to(changed.device) * self.noise
        return changed.roll(self.roll_frames, dims=-2) if self.roll_frames else changed


@dataclass(frozen=True)
class Background:
    """Adds another clip's audio so that its loud parts are `below_nepers` (negative) relative to the clip's own."""

    below_nepers: float

    @classmethod
    def draw(cls, random: np.random.Generator) -> Background:
        """Draw a level of 3 to 20 dB below the clip's own."""
        return cls(float(random.uniform(*BACKGROUND_RANGE_DB)) * NEPERS_PER_DB)

    def mix(self, features: Tensor, other: Tensor) -> Tensor:
        """Return the log-mel (K, L, 128) of both together, taken as uncorrelated, so that powers add."""
        level = torch.quantile(features, LOUD_QUANTILE) - torch.quantile(other, LOUD_QUANTILE)
        return torch.logaddexp(features, other + (level + self.below_nepers))


@dataclass(frozen=True)
class Mixture:
    """Mixes `share` of the amplitude of the clip's own audio with `1 - share` of another clip's."""

    share: float

    def mix(self, features: Tensor, other: Tensor) -> Tensor:
        """Return the log-mel (K, L, 128) of both together, taken as uncorrelated, so that powers add."""
        return torch.logaddexp(features + 2 * math.log(self.share), other + 2 * math.log(1 - self.share))


def mixed_waveform(own: Waveform, other: Waveform, share: float) -> Waveform:
    """Return `share` of the clip's own samples and `1 - share` of another clip's, each without its mean first.

    The other clip is cut, or padded with zeros, to the length of this one, as in the public code of CAV-MAE.
    """
    # In torch, whose means round as those of the public code do.
    samples, others = (torch.from_numpy(clip.samples) for clip in (own, other))
    samples, others = samples - samples.mean(), others - others.mean()
    others = F.pad(others, (0, len(samples) - len(others)))
    return Waveform((share * samples + (1 - share) * others).numpy())


def change_tempo(clip: Clip, factor: float) -> Clip:
    """Return the clip with video and audio `factor` times as fast and the pitch unchanged."""
    if factor == 1.0 or not len(clip.audio):
        return clip
    features = clip.audio.log_mel().features
    places = np.arange(int((len(features) - 1) / factor) + 1) * factor
    before = np.minimum(places.astype(np.int64), max(0, len(features) - 2))
    part = (places - before).astype(np.float32)[:, None]
    after = np.minimum(before + 1, len(features) - 1)
    return replace(
        clip,
        audio=LogMel(features[before] * (1 - part) + features[after] * part),
        pts_seconds=clip.pts_seconds / factor,
        audio_start_seconds=clip.audio_start_seconds / factor,
    )


def _draw_range(widest: int, size: int, random: np.random.Generator) -> MaskRange:
    return mask_range(widest, size, *random.random(2, dtype=np.float32)) if widest else (0, 0)


def mask_range(widest: int, size: int, width_share: np.float32, place_share: np.float32) -> MaskRange:
    """Return SpecAugment's mask of `size` bins or frames for two uniform numbers in 0..1, as
    `torchaudio.functional.mask_along_axis` makes it: the width is below `widest`, and both ends are rounded down."""
    width = width_share * np.float32(min(widest, size))
    return int(place_share * (np.float32(size) - width)), int(width)
