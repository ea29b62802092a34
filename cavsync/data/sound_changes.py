"""Random changes of sound: one draw for all segments of a clip. Log-mel values are natural logarithms of power."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cavsync.data.augment import Augmentation
from cavsync.data.clip import Clip
from cavsync.data.logmel import AUDIO_MEAN
from cavsync.data.sound import LogMel, Sound, Waveform
from cavsync.media.align import FRAME_SHIFT_SECONDS

NEPERS_PER_DB = math.log(10) / 10
NOISE_FLOOR_RANGE = (-14.0, -7.0)
BACKGROUND_RANGE_DB = (-20.0, -3.0)
LOUD_PERCENTILE = 95

Features = NDArray[np.float32]
Times = NDArray[np.float64]


def change_sound(features: Features, augmentation: Augmentation, random: np.random.Generator) -> Features:
    """Raw log-mel (K, L, 128) after all changes but those that need another clip."""
    limit = augmentation.gain_db * NEPERS_PER_DB
    changed = features + np.float32(random.uniform(-limit, limit))
    if augmentation.mel_shift_bins:
        shift = random.integers(-augmentation.mel_shift_bins, augmentation.mel_shift_bins + 1)
        bins = np.clip(np.arange(features.shape[-1]) - shift, 0, features.shape[-1] - 1)
        changed = changed[..., bins]
    if augmentation.noise_floor:
        changed = np.logaddexp(changed, np.float32(random.uniform(*NOISE_FLOOR_RANGE)))
    _blank(changed, augmentation.frequency_mask_bins, -1, random)
    _blank(changed, augmentation.time_mask_frames, -2, random)
    if augmentation.feature_noise:
        strength = np.float32(random.uniform(0, augmentation.feature_noise))
        changed += random.random(changed.shape, dtype=np.float32) * strength
    if augmentation.time_shift_frames:
        steps = random.integers(-augmentation.time_shift_frames, augmentation.time_shift_frames + 1)
        changed = np.roll(changed, steps, axis=-2)
    return changed


def add_background(features: Features, times_seconds: Times, other: Sound, random: np.random.Generator) -> Features:
    """Another clip's sound, going on through the segments (K, L, 128) at times (K,), below their level."""
    background = _some_segments(other, times_seconds, features.shape[1], random)
    below = random.uniform(*BACKGROUND_RANGE_DB) * NEPERS_PER_DB
    level = np.percentile(features, LOUD_PERCENTILE) - np.percentile(background, LOUD_PERCENTILE)
    mixed: Features = np.logaddexp(features, background + np.float32(level + below))
    return mixed


def mix(features: Features, times_seconds: Times, other: Sound, share: float, random: np.random.Generator) -> Features:
    """Log-mel of `share` of the amplitude of features (K, L, 128) and the rest of another sound, taken as unrelated."""
    rest = _some_segments(other, times_seconds, features.shape[1], random) + np.float32(2 * math.log(1 - share))
    mixed: Features = np.logaddexp(features + np.float32(2 * math.log(share)), rest)
    return mixed


def at_tempo(clip: Clip, factor: float) -> Clip:
    """The clip with picture and sound running `factor` times as fast, pitch unchanged."""
    if factor == 1.0 or not len(clip.sound):
        return clip
    sound = clip.sound.log_mel() if isinstance(clip.sound, Waveform) else clip.sound
    features = sound.segments(np.zeros(1, dtype=np.int64), len(sound))[0]
    places = np.arange(int((len(features) - 1) / factor) + 1) * factor
    before = np.minimum(places.astype(np.int64), max(0, len(features) - 2))
    part = (places - before).astype(np.float32)[:, None]
    after = np.minimum(before + 1, len(features) - 1)
    return replace(
        clip,
        sound=LogMel(features[before] * (1 - part) + features[after] * part),
        pts_seconds=clip.pts_seconds / factor,
        audio_start_seconds=clip.audio_start_seconds / factor,
    )


def _some_segments(sound: Sound, times_seconds: Times, length: int, random: np.random.Generator) -> Features:
    """Segments spaced like `times_seconds`, from a random place on; a short sound starts again at its end."""
    steps = np.rint((times_seconds - times_seconds[0]) / FRAME_SHIFT_SECONDS).astype(np.int64)
    last = max(1, len(sound) - length + 1)
    return sound.segments((int(random.integers(last)) + steps) % last, length)


def _blank(features: Features, widest: int, axis: int, random: np.random.Generator) -> None:
    """Set a random stretch along an axis to the data's mean, in place."""
    size = features.shape[axis]
    width = int(random.integers(0, min(widest, size) + 1))
    first = int(random.integers(0, size - width + 1))
    np.moveaxis(features, axis, 0)[first : first + width] = AUDIO_MEAN
