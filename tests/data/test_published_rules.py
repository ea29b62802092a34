"""The rules of the public code of CAV-MAE and CAV-MAE Sync for segments, masks and mixtures, written out here."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from generated_clips import make_clips
from numpy.typing import NDArray
from torchaudio.compliance import kaldi
from torchaudio.functional import mask_along_axis

from cavsync.cli.main import main
from cavsync.data.augment.audio import AudioChange, mask_range, mixed_waveform
from cavsync.data.augment.config import Augmentation
from cavsync.data.batches import IMAGENET_MEAN, IMAGENET_STD, ClipPairs, PairDataset, collate
from cavsync.data.clip import Clip
from cavsync.data.clip_audio import LogMel, Waveform
from cavsync.data.parallel import preload
from cavsync.data.sampling import SamplePlan, draw_instants, take_sample
from cavsync.data.shards import PackOptions
from cavsync.data.shards.pack import pack
from cavsync.data.sources.clips import open_source
from cavsync.data.sources.video_folder import VideoFolder
from cavsync.data.sources.write_cav_mae_list import write_cav_mae_list
from cavsync.errors import ConfigError, DataError
from cavsync.evaluate.inputs.clip_inputs import clip_inputs
from cavsync.evaluate.inputs.eval_clips import channels_in_words, open_eval_clips
from cavsync.media.resample import ChannelRule, MonoResampler
from cavsync.train import override, preset

# Of 16 frames and segments of 416 log-mel frames: the values that the public loader gives.
STARTS_OF_16 = [0, 0, 0, 0, 48, 112, 176, 240, 304, 368, 432, 496, 560, 608, 608, 608]
LENGTHS = [400, 998, 1001, 1024, 1300]


def public_segments(features: NDArray[np.float32], num_frames: int, length: int) -> NDArray[np.float32]:
    """Pad or cut to 1,024 log-mel frames, then cut a segment around round(i * 1024 / n) that lies inside."""
    whole = np.zeros((1024, features.shape[1]), np.float32)
    whole[: min(1024, len(features))] = features[:1024]
    starts = [min(max(round(i * 1024 / num_frames) - length // 2, 0), 1024 - length) for i in range(num_frames)]
    return np.stack([whole[start : start + length] for start in starts])


def clip_of(log_mel_frames: int, *, fps: float = 25.0, **values: Any) -> Clip:
    """A clip whose log-mel frame m is filled with m + 1, which no padding is, and frame k with k."""
    count = max(20, round(log_mel_frames / 100 * fps))
    features = np.broadcast_to(np.arange(1, log_mel_frames + 1, dtype=np.float32)[:, None], (log_mel_frames, 128))
    images = np.broadcast_to((np.arange(count) % 256).astype(np.uint8)[:, None, None, None], (count, 3, 8, 8))
    return Clip("made", images.copy(), np.arange(count) / fps, LogMel(features.copy()), **values)


@pytest.mark.parametrize("log_mel_frames", LENGTHS)
@pytest.mark.parametrize(("num_frames", "length"), [(16, 416), (10, 1024), (10, 416), (7, 96)])
def test_segments_of_a_test(log_mel_frames: int, num_frames: int, length: int) -> None:
    """Every frame of a clip, whatever its audio's length, and whatever the audio's start."""
    clip = clip_of(log_mel_frames, audio_start_seconds=0.3)
    plan = SamplePlan(length, 1, 0.04, instants=num_frames, pad=True, published_frames=num_frames)
    inputs = clip_inputs(clip, plan)
    features = clip.audio.log_mel().features
    wanted = public_segments(features, num_frames, length)
    np.testing.assert_array_equal(inputs.segments[inputs.segment_of], wanted)
    if (num_frames, length, log_mel_frames) == (16, 416, 1300):
        np.testing.assert_array_equal(wanted[:, 0, 0] - 1, STARTS_OF_16)


@pytest.mark.parametrize("log_mel_frames", LENGTHS)
def test_segments_in_training(log_mel_frames: int) -> None:
    """Only evenly spaced frames are drawn; each has the segment of its number. A list's frames have theirs already."""
    listed = clip_of(log_mel_frames, segment_starts=np.zeros(max(20, round(log_mel_frames / 4)), np.int64))
    for clip in (clip_of(log_mel_frames), listed):
        plan = SamplePlan(416, 1, 0.04, pad=True, published_frames=16)
        wanted = public_segments(clip.audio.log_mel().features, 16, 416)
        duration_seconds = len(clip.frames) / 25
        seen = set()
        for seed in range(60):
            instants = draw_instants(clip, plan, np.random.default_rng(seed))
            sample = take_sample(clip, instants, plan)
            number = round(float(sample.times_seconds[0]) / duration_seconds * 16)
            # The nearest frame to number / 16 of the clip.
            assert abs(sample.times_seconds[0] - number / 16 * duration_seconds) <= 0.02 + 1e-9
            np.testing.assert_array_equal(sample.audio.values.numpy()[0], wanted[number])
            seen.add(number)
        assert len(seen) > 10


def test_by_time_departs_from_it() -> None:
    """The default follows the frame's time: the two rules agree at no frame in the middle of a clip of ten seconds."""
    clip = clip_of(998)
    by_time = clip_inputs(clip, SamplePlan(416, 1, 0.04, instants=16, pad=True))
    starts = (by_time.segments[by_time.segment_of][:, 0, 0] - 1).astype(int)
    assert all(start != public for start, public in zip(starts[4:], STARTS_OF_16[4:], strict=True))


@pytest.mark.parametrize("other_seconds", [0.7, 1.0, 1.6])
def test_mixture_of_waveforms(other_seconds: float) -> None:
    """The log-mel of a mixture, against the public loader's arithmetic in torch."""
    random = np.random.default_rng(3)
    first = (random.normal(0.02, 0.1, 16000)).astype(np.float32)
    second = (random.normal(-0.05, 0.2, round(16000 * other_seconds))).astype(np.float32)
    share = 0.37
    wave1, wave2 = torch.from_numpy(first)[None], torch.from_numpy(second)[None]
    wave1, wave2 = wave1 - wave1.mean(), wave2 - wave2.mean()
    if wave1.shape[1] > wave2.shape[1]:
        padded = torch.zeros(1, wave1.shape[1])
        padded[0, : wave2.shape[1]] = wave2
        wave2 = padded
    else:
        wave2 = wave2[:, : wave1.shape[1]]
    mixed = share * wave1 + (1 - share) * wave2
    wanted = kaldi.fbank(
        mixed - mixed.mean(), htk_compat=True, sample_frequency=16000, use_energy=False, window_type="hanning",
        num_mel_bins=128, dither=0.0, frame_shift=10,
    )  # fmt: skip
    got = mixed_waveform(Waveform(first), Waveform(second), share)
    np.testing.assert_array_equal(got.log_mel().features, wanted.numpy())


def test_mixup_of_a_clip(tmp_path: Path) -> None:
    """A training pair holds the mixture of both clips' samples, and of their frames in the floats of the public code;
    powers give something else."""
    source = VideoFolder.open(make_clips(tmp_path / "clips", 2))
    plan = SamplePlan(96, 1, 0.04, pad=True)

    def features(**values: Any) -> tuple[ClipPairs, NDArray[np.float32]]:
        dataset = PairDataset(source, plan, 32, seed=5, augmentation=Augmentation(**values), partners=[1])
        item = dataset[(0, 2)]
        assert isinstance(item, ClipPairs)
        return item, item.audio.computed().own.values.numpy()

    item, mixed = features(mixup=1.0, mixup_audio="waveform")
    share = next(share for index, share in item.content if index == 0)
    own, other = (source.load(index, 32).audio for index in (0, 1))
    assert isinstance(own, Waveform)
    assert isinstance(other, Waveform)
    alone, plain = features()
    whole = own.log_mel().features
    start = int(np.argmin([np.abs(whole[at : at + 96] - plain[0]).max() for at in range(len(whole) - 95)]))
    wanted = mixed_waveform(own, other, share).log_mel().features[start : start + 96]
    np.testing.assert_allclose(mixed[0], wanted, atol=1e-5)
    assert item.mixed_in is not None
    assert any(np.array_equal(item.mixed_in[0].numpy(), frame) for frame in source.load(1, 32).frames)
    mean, std = (torch.tensor(level).view(3, 1, 1) for level in (IMAGENET_MEAN, IMAGENET_STD))
    own_frames, other_frames = ((frames / 255 - mean) / std for frames in (alone.frames, item.mixed_in))
    batch = collate([alone, item]).normalised_frames(torch.device("cpu"))
    torch.testing.assert_close(batch[0], own_frames, atol=2e-6, rtol=0)
    torch.testing.assert_close(batch[1], share * own_frames + (1 - share) * other_frames, atol=2e-6, rtol=0)
    assert np.abs(features(mixup=1.0)[1] - mixed).max() > 0.1


def test_waveforms_must_be_there_to_be_mixed(tmp_path: Path) -> None:
    """Log-mel at another tempo has no samples; a cache keeps them where they are mixed, and gives the same pairs."""
    with pytest.raises(ConfigError, match="mixup_audio=waveform mixes samples"):
        override(*preset("finetune-vggsound"), {"tempo": (0.9, 1.1)})
    source = VideoFolder.open(make_clips(tmp_path / "clips", 2))
    plan = SamplePlan(96, 1, 0.04, pad=True)
    for values in ({"mixup": 1.0, "mixup_audio": "waveform"}, {"mixup": 1.0}):
        kept = preload(source, 32, workers=1, keep_samples=Augmentation(**values).needs_samples)
        found = [
            PairDataset(source, plan, 32, seed=5, augmentation=Augmentation(**values), cache=cache)[(0, 2)]
            for cache in (None, {}, kept)
        ]
        assert all(isinstance(item, ClipPairs) for item in found)
        first, *others = [item.audio.computed().own.values for item in found if isinstance(item, ClipPairs)]
        for other in others:
            torch.testing.assert_close(other, first, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("widest", "size"), [(48, 128), (192, 1024), (30, 96), (96, 96)])
def test_widths_and_places_of_masks(widest: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of torchaudio for the same uniform numbers; a mask is never as wide as the limit."""
    random = np.random.default_rng(2)
    shares = np.concatenate([random.random((200, 2), dtype=np.float32), np.nextafter(np.ones((1, 2), np.float32), 0)])
    for pair in shares:
        drawn = iter(pair)
        monkeypatch.setattr(torch, "rand", lambda _, drawn=drawn: torch.tensor([next(drawn)]))
        masked = mask_along_axis(torch.ones(1, size, 4), widest, 0.0, 1)[0, :, 0] == 0
        first, number = mask_range(widest, size, *pair)
        assert masked.nonzero().flatten().tolist() == [*range(first, first + number)]
        assert number < widest


@pytest.mark.parametrize(("fill", "level"), [("zero", 0.0), ("mean", -5.081)])
def test_masked_spans(fill: str, level: float) -> None:
    """The public code writes 0 into the raw log-mel, which is 1.13 after its normalisation."""
    random = np.random.default_rng(1)
    augmentation = Augmentation(frequency_mask_bins=48, time_mask_frames=30, mask_fill=fill)
    for _ in range(20):
        change = AudioChange.draw(augmentation, 96, random)
        features = torch.randn(2, 96, 128)
        changed = change.apply(features)
        bins, frames = (range(first, first + number) for first, number in (change.masked_bins, change.masked_frames))
        for frame in range(96):
            for band in range(128):
                is_masked = band in bins or frame in frames
                wanted = torch.full((2,), level) if is_masked else features[:, frame, band] + change.gain_nepers
                assert torch.equal(changed[:, frame, band], wanted)


def stereo_file(path: Path) -> NDArray[np.float32]:
    """A video whose left channel is a tone and whose right channel is unrelated noise; returns the left one."""
    random = np.random.default_rng(0)
    left = (0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * 16000) / 16000)).astype(np.float32)
    stereo = np.stack([left, random.normal(0, 0.2, len(left)).astype(np.float32)])
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width = video.height = 64
        audio = out.add_stream("pcm_s16le", rate=16000, layout="stereo")
        for number in range(75):
            frame = av.VideoFrame.from_ndarray(random.integers(0, 255, (64, 64, 3), dtype=np.uint8), format="rgb24")
            frame.pts = number
            out.mux(video.encode(frame))
        sound = av.AudioFrame.from_ndarray((stereo * 32767).astype(np.int16).T.reshape(1, -1), "s16", "stereo")
        sound.sample_rate = 16000
        out.mux([*video.encode(None), *audio.encode(sound), *audio.encode(None)])
    return left


@pytest.mark.parametrize("channels", ["first", "mix"])
def test_channels(channels: ChannelRule, tmp_path: Path) -> None:
    """A folder, shards packed from it and a list written from it give the same audio, and say how it was made."""
    folder = tmp_path / "videos"
    folder.mkdir()
    left = stereo_file(folder / "a.mkv")
    (folder / "labels.csv").write_text("file,labels\na.mkv,tone\n")
    options = {"frames_per_clip": 4, "segment_frames": 96}
    videos = open_source(folder, **options, channels=channels)
    samples = videos.load(0, 32).audio
    assert isinstance(samples, Waveform)
    departure = float(np.abs(samples.samples[: len(left)] - left).max())
    assert departure < 1e-3 if channels == "first" else departure > 0.1

    pack(folder, tmp_path / "shards", PackOptions(channels=channels))
    write_cav_mae_list(folder, tmp_path / "list", frames=4, img_size=32, channels=channels)
    packed = CliRunner().invoke(main, ["data", "pack", str(tmp_path / "list" / "list.json"), str(tmp_path / "packed")])
    assert packed.exit_code == 0, packed.output
    other: ChannelRule = "mix" if channels == "first" else "first"
    with pytest.raises(DataError, match=f"made with channels={channels}"):
        pack(tmp_path / "list" / "list.json", tmp_path / "unlike", PackOptions(channels=other))
    for place in (tmp_path / "shards", tmp_path / "packed", tmp_path / "list" / "list.json"):
        for wanted in (None, channels):
            source = open_source(place, **options, channels=wanted)
            assert source.channels == channels
            stored = source.load(0, 32).audio
            assert isinstance(stored, Waveform)
            count = min(len(stored.samples), len(samples.samples))
            np.testing.assert_allclose(stored.samples[:count], samples.samples[:count], atol=1e-4)
        with pytest.raises(DataError, match=f"made with channels={channels}, asked for is channels={other}"):
            open_source(place, **options, channels=other)


def test_a_list_that_names_no_rule(tmp_path: Path) -> None:
    """The authors' mono files keep their rule, which nobody knows: no result claims one, nothing is refused, and
    shards packed from the list say as little; the rule that a user names counts."""
    folder, options = tmp_path / "videos", {"frames_per_clip": 4, "segment_frames": 96}
    folder.mkdir()
    stereo_file(folder / "a.mkv")
    (folder / "labels.csv").write_text("file,labels\na.mkv,tone\n")
    write_cav_mae_list(folder, tmp_path / "list", frames=4, img_size=32, channels="first")
    path = tmp_path / "list" / "list.json"
    path.write_text(json.dumps({"data": json.loads(path.read_text())["data"]}))
    packed = CliRunner().invoke(main, ["data", "pack", str(path), str(tmp_path / "packed")])
    assert packed.exit_code == 0, packed.output
    for place in (path, tmp_path / "packed"):
        source = open_source(place, **options)
        assert source.channels is None
        assert channels_in_words(source.channels).startswith("as stored")
        clips = open_eval_clips(place, segment_frames=96, frames=4, channels="first")
        assert clips.source.channels == ("first" if place == path else None)
    assert channels_in_words("mix") == "mixed"


def test_first_of_six_channels() -> None:
    """The front left channel of 5.1, against the samples put in."""
    random = np.random.default_rng(1)
    samples = random.normal(0, 0.1, (6, 16000)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="5.1")
    frame.sample_rate = 16000
    resampler = MonoResampler(16000, channels="first")
    found = np.concatenate([chunk.samples for chunk in (*resampler.push(frame), *resampler.flush())])
    np.testing.assert_array_equal(found, samples[0])
