"""Augmentation: one draw for all instants, timing kept, numbers against independent references."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as vision

from cavsync.data.augment.audio import AudioChange, Background, Mixture, change_tempo
from cavsync.data.augment.config import Augmentation
from cavsync.data.augment.frames import Crop
from cavsync.data.batches import PairDataset, collate
from cavsync.data.clip import Clip
from cavsync.data.clip_audio import LogMel, Waveform
from cavsync.data.logmel import AUDIO_MEAN, log_mel
from cavsync.data.sampling import SamplePlan, take_sample

STRONG = Augmentation(
    mirror=0.5,
    crop_area=(0.3, 1.0),
    gain_db=6.0,
    noise_floor=True,
    mel_shift_bins=6,
    frequency_mask_bins=40,
)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.tuples(st.floats(0.1, 1.0), st.floats(0.1, 1.0)))
def test_crops_lie_inside_and_have_the_asked_area(seed: int, areas: tuple[float, float]) -> None:
    low, high = sorted(areas)
    crop = Crop.draw(Augmentation(crop_area=(low, high)), np.random.default_rng(seed))
    assert 0 <= crop.top <= crop.top + crop.height <= 1 + 1e-9
    assert 0 <= crop.left <= crop.left + crop.width <= 1 + 1e-9
    assert low - 1e-9 <= crop.height * crop.width <= high + 1e-9
    assert 3 / 4 - 1e-9 <= crop.width / crop.height <= 4 / 3 + 1e-9


def test_crop_is_torchvision_s() -> None:
    """Against torchvision's resized crop, mirrored or not."""
    frames = np.random.default_rng(0).integers(0, 256, (3, 3, 40, 40), dtype=np.uint8)
    crop = Crop(top=0.1, left=0.25, height=0.5, width=0.625)
    expected = vision.resized_crop(torch.from_numpy(frames), 4, 10, 20, 25, [32, 32], antialias=True).numpy()
    assert np.abs(crop.apply(frames, 32).astype(int) - expected).max() <= 1
    mirrored = dataclasses.replace(crop, mirrored=True).apply(frames, 32)
    np.testing.assert_array_equal(mirrored, crop.apply(frames, 32)[..., ::-1])
    np.testing.assert_array_equal(Crop().apply(frames, 40), frames)


def test_audio_keeps_its_onset() -> None:
    audio = np.full((2, 48, 128), -15.0, dtype=np.float32)
    audio[:, 20:] = 3.0
    for seed in range(20):
        changed = change_audio(audio, STRONG, np.random.default_rng(seed))
        energy = np.abs(np.diff(changed.mean(axis=(0, 2))))
        assert np.argmax(energy) == 19
        np.testing.assert_array_equal(changed[0], changed[1])


def change_audio(features: np.ndarray, augmentation: Augmentation, random: np.random.Generator) -> np.ndarray:
    """A draw, applied."""
    return AudioChange.draw(augmentation, features.shape[1], random).apply(torch.tensor(features)).numpy()


def test_nothing_asked_nothing_changed() -> None:
    features = np.random.default_rng(0).normal(size=(2, 10, 128)).astype(np.float32)
    np.testing.assert_array_equal(change_audio(features, Augmentation(), np.random.default_rng(1)), features)


def test_masks_blank_one_stretch() -> None:
    """SpecAugment's widths are uniform from 0 to below the limit, as torchaudio's; the mean is what is written."""
    features = np.zeros((1, 50, 128), dtype=np.float32)
    widths = []
    for seed in range(300):
        changed = change_audio(features, Augmentation(frequency_mask_bins=20), np.random.default_rng(seed))
        blank = np.flatnonzero((changed == np.float32(AUDIO_MEAN)).all(axis=(0, 1)))
        assert len(blank) == 0 or blank[-1] - blank[0] + 1 == len(blank)
        widths.append(len(blank))
    assert min(widths) == 0
    assert max(widths) == 19
    assert np.mean(widths) == pytest.approx(9.5, abs=1)


def test_mel_shift_and_time_shift() -> None:
    features = np.broadcast_to(np.arange(128, dtype=np.float32), (1, 5, 128))
    shifts = {
        int(change_audio(features, Augmentation(mel_shift_bins=3), np.random.default_rng(s))[0, 0, 64]) - 64
        for s in range(60)
    }
    assert shifts == set(range(-3, 4))
    ramp = np.broadcast_to(np.arange(30, dtype=np.float32)[:, None], (1, 30, 128))
    rolled = change_audio(ramp, Augmentation(time_shift_frames=30), np.random.default_rng(2))
    assert sorted(rolled[0, :, 0]) == list(range(30))


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_tempo_keeps_audio_and_frames_together(factor: float) -> None:
    """A flash and a click that coincide still do, at the new time."""
    times = np.arange(100) / 25
    features = np.full((395, 128), -10.0, np.float32)
    # The log-mel frame whose 25 ms are centred nearest to 2.0 s.
    features[199] = 5.0
    frames = np.zeros((100, 3, 2, 2), np.uint8)
    frames[50] = 255
    fast = change_tempo(Clip("made", frames, times, LogMel(features)), factor)
    audio = fast.audio.segments(np.zeros(1, dtype=np.int64), len(fast.audio))[0, :, 0]
    click_seconds = (int(np.argmax(audio)) * 160 + 200) / 16000
    assert click_seconds == pytest.approx(2.0 / factor, abs=0.011)
    assert fast.pts_seconds[50] == pytest.approx(2.0 / factor)
    segment = take_sample(fast, np.array([50]), SamplePlan(48, 1, 0.04)).audio.values.numpy()[0, :, 0]
    # The click of the flash's own segment lies at its middle, between frames 23 and 24.
    assert int(np.argmax(segment)) in (22, 23, 24, 25)


def test_background_and_mixtures_add_powers() -> None:
    """In the power domain, written out: a mixture of shares, a background below the clip's own level."""
    features = torch.randn(2, 10, 128, generator=torch.Generator().manual_seed(0))
    other = torch.full((2, 10, 128), 2.0)
    expected = 0.25**2 * features.exp() + 0.75**2 * float(np.exp(2.0))
    torch.testing.assert_close(Mixture(0.25).mix(features, other).exp(), expected)
    for seed in range(20):
        background = Background.draw(np.random.default_rng(seed))
        added = background.mix(features, other).exp() - features.exp()
        below_db = 10 * np.log10(float(added.mean()) / np.exp(np.percentile(features.numpy(), 95)))
        assert -20.1 <= below_db <= -2.9


@pytest.mark.parametrize("pad", [True, False])
def test_device_and_workers_agree(pad: bool) -> None:
    """The same draw gives the same features, whoever makes the log-mel: within 1e-4, but where float32 runs out."""
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (50, 3, 8, 8), dtype=np.uint8)
    clips = [
        Clip(f"clip{number}", frames, np.arange(50) / 25, Waveform(random.normal(0.01, 0.1, 30_000).astype(np.float32)))
        for number in range(3)
    ]
    plan = SamplePlan(96 if pad else 24, 1, 0.04, instants=4, pad=pad)
    changes = Augmentation(gain_db=6, background=0.7, mixup=0.5, noise_floor=True, mel_shift_bins=3, feature_noise=0.1)

    def batch(on_device: bool) -> torch.Tensor:
        cache = dict(enumerate(clips))
        source = Made([clip.source for clip in clips])
        dataset = PairDataset(source, plan, 8, augmentation=changes, cache=cache, log_mel_on_device=on_device)
        made = collate([dataset[index, visit] for index in range(3) for visit in range(4)])
        return made.normalised_features(torch.device("cpu"))

    difference = (batch(True) - batch(False)).abs()
    assert difference.mean() <= 1e-5
    assert (difference > 1e-4).float().mean() <= 1e-3
    assert difference.max() <= 2e-3


@dataclasses.dataclass
class Made:
    """A source whose clips are all in the cache."""

    names: list[str]
    shard_of: None = None

    def load(self, index: int, img_size: int) -> Clip:
        raise AssertionError(f"clip {index} at {img_size} is not in the cache")


def test_waveform_segments_are_the_whole_s() -> None:
    """Log-mel of a part equals the same rows of the whole, and is zero outside."""
    samples = np.random.default_rng(0).normal(size=32_000).astype(np.float32) * 0.1 + 0.01
    audio = Waveform(samples)
    whole = log_mel(torch.from_numpy(samples)).numpy()
    assert len(audio) == len(whole)
    starts = np.array([-5, 0, 40, len(whole) - 20, len(whole) + 3])
    got = audio.segments(starts, 48)
    np.testing.assert_allclose(got, LogMel(whole).segments(starts, 48), atol=1e-4)
    assert not got[0, :5].any()
    assert not got[3, 20:].any()
    assert not got[4].any()


def test_take_shares_frames() -> None:
    """Overlapping tubelets name each frame once."""
    frames = np.arange(20, dtype=np.uint8)[:, None, None, None].repeat(3, 1)
    clip = Clip("made", frames, np.arange(20) / 25, LogMel(np.zeros((80, 128), np.float32)))
    sample = take_sample(clip, np.array([5, 6, 7]), SamplePlan(16, 5, 0.04))
    assert sample.frames[:, 0, 0, 0].tolist() == list(range(3, 10))
    assert sample.tubelets.tolist() == [[0, 1, 2, 3, 4], [1, 2, 3, 4, 5], [2, 3, 4, 5, 6]]
