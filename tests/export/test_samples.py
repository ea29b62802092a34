"""Samples to compare on: real clips where they suffice, and of each moment the audio and frames of that moment."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio.compliance.kaldi as kaldi
from exported import lively_run, remembered_graph
from generated_clips import make_clips
from numpy.typing import NDArray
from small_models import TUBELETS, small_config
from sync_clips import write_clip

from cavsync.export import artefacts, export_bundle
from cavsync.export.samples import MAX_CLIPS, MOMENTS_PER_CLIP, SampleSets, noise, sample_sets

Array = NDArray[Any]
CONFIG = small_config(**TUBELETS)
SECONDS, FRAME_RATE = 3.2, 25
# Apart by more than a colour loses on its way through a codec.
GREY_STEP = 3
NUM_FRAMES = round(SECONDS * FRAME_RATE)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sorted(make_clips(tmp_path_factory.mktemp("clips"), 5).glob("*.mp4"))


def audio_of(number: int) -> Array:
    """Noise that is nowhere the same."""
    samples = np.random.default_rng(number).normal(0, 0.1, round(SECONDS * 16_000))
    return samples.clip(-0.9, 0.9).astype(np.float32)


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> SampleSets:
    """Of four lossless clips whose frames are grey, each three times as bright as its number; the audio is 16 kHz."""
    folder = tmp_path_factory.mktemp("counting")
    grey = np.arange(NUM_FRAMES, dtype=np.uint8) * GREY_STEP
    frames = np.broadcast_to(grey[:, None, None, None], (NUM_FRAMES, 48, 64, 3)).copy()
    paths = [
        write_clip(folder / f"{number}.mkv", frames=frames, samples=audio_of(number), audio_rate_hz=16_000)
        for number in range(4)
    ]
    return sample_sets(CONFIG, paths)


def time_of(moment: str) -> tuple[str, float]:
    """Clip and seconds of "a.mp4 at 1.25 s"."""
    name, _, rest = moment.rpartition(" at ")
    return name, float(rest.removesuffix(" s"))


def names(moments: list[str]) -> list[str]:
    return list(dict.fromkeys(time_of(moment)[0] for moment in moments))


def test_every_second_clip_is_kept_apart(clips: list[Path]) -> None:
    """What ranges are found with is not what is compared on."""
    sets = sample_sets(CONFIG, clips)
    assert names(sets.compare.moments) == [path.name for path in clips[::2]]
    assert names(sets.ranges.moments) == [path.name for path in clips[1::2]]
    assert sets.compare.source == f"{3 * MOMENTS_PER_CLIP} moments of 3 clips"
    assert sets.ranges.source == f"{2 * MOMENTS_PER_CLIP} moments of 2 clips"
    for samples, count in ((sets.compare, 3), (sets.ranges, 2)):
        assert len(samples) == count * MOMENTS_PER_CLIP
        assert samples.inputs["audio_encoder"].shape == (len(samples), 80, 128)
        assert samples.inputs["visual_encoder"].shape == (len(samples), 3, 48, 48, 3)
        assert samples.inputs["visual_encoder"].dtype == np.uint8
        assert samples.inputs["audio_frontend"].shape[0] == 1


def test_of_many_clips_some_from_all_over_are_taken(clips: list[Path]) -> None:
    """The first and the last among them."""
    many = [clips[0], *([clips[1]] * 40), clips[2]]
    sets = sample_sets(CONFIG, many)
    assert len(sets.compare) + len(sets.ranges) == MAX_CLIPS * MOMENTS_PER_CLIP
    assert names(sets.compare.moments)[0] == clips[0].name
    assert names(sets.ranges.moments)[-1] == clips[2].name


@pytest.mark.parametrize("num_usable", [0, 1])
def test_clips_that_are_too_short_give_way_to_generated_ones(
    num_usable: int, clips: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    short = sorted(make_clips(tmp_path, 3, duration_seconds=0.7).glob("*.mp4"))
    with caplog.at_level(logging.WARNING):
        sets = sample_sets(CONFIG, [*short, *clips[:num_usable]])
    assert "generated ones are used instead" in caplog.text
    assert sets.compare.source == "16 moments of generated clips"
    assert all(name.startswith("generated ") for name in names(sets.compare.moments))
    assert not set(names(sets.compare.moments)) & set(names(sets.ranges.moments))


def test_damaged_clips_are_told_and_left_out(
    clips: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clips[0].read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        sets = sample_sets(CONFIG, [clips[0], broken, clips[1]])
    assert "not compared on" in caplog.text
    assert "broken.mp4" in caplog.text
    assert names(sets.compare.moments) + names(sets.ranges.moments) == [clips[0].name, clips[1].name]


def test_without_clips_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        sets = sample_sets(CONFIG, [])
    assert caplog.text == ""
    assert sets.compare.source == sets.ranges.source == "16 moments of generated clips"
    again = sample_sets(CONFIG, [])
    for graph, array in sets.compare.inputs.items():
        np.testing.assert_array_equal(array, again.compare.inputs[graph])


def test_segments_are_those_of_the_whole_audio_at_their_times(counting: SampleSets) -> None:
    """Kaldi's features by torchaudio, of the samples that were written, cut where the moment lies."""
    for samples in (counting.compare, counting.ranges):
        for place, moment in enumerate(samples.moments):
            name, seconds = time_of(moment)
            stored = np.round(audio_of(int(Path(name).stem)) * 32767) / 32768
            waveform = torch.from_numpy(stored.astype(np.float32))[None]
            features = kaldi.fbank(
                waveform - waveform.mean(), htk_compat=True, sample_frequency=16_000, use_energy=False,
                window_type="hanning", num_mel_bins=128, dither=0.0, frame_shift=10,
            ).numpy()  # fmt: skip
            segment = samples.inputs["audio_encoder"][place]
            starts = range(len(features) - 79)
            start = min(starts, key=lambda first: float(np.abs(features[first : first + 80] - segment).max()))
            np.testing.assert_allclose(segment, features[start : start + 80], atol=1e-3)
            # Frame m is centred at (160 m + 200) / 16000 seconds.
            centre = ((start + 39.5) * 160 + 200) / 16_000
            assert abs(centre - seconds) <= 0.016


@pytest.mark.parametrize("num_frames", [1, 3, 5])
def test_tubelets_are_those_of_their_times(num_frames: int, counting: SampleSets, tmp_path: Path) -> None:
    """Each frame is the nearest to its time, a step of 40 ms apart, the middle one at the moment itself."""
    if num_frames == 3:
        sets = counting
    else:
        grey = np.arange(NUM_FRAMES, dtype=np.uint8) * GREY_STEP
        frames = np.broadcast_to(grey[:, None, None, None], (NUM_FRAMES, 48, 64, 3)).copy()
        path = write_clip(tmp_path / "0.mkv", frames=frames, samples=audio_of(0), audio_rate_hz=16_000)
        config = small_config(**{**TUBELETS, "num_frames": num_frames, "frame_differences": num_frames > 1})
        sets = sample_sets(config, [path, path])
    spread = []
    for place, moment in enumerate(sets.compare.moments):
        _, seconds = time_of(moment)
        spread.append(seconds)
        tubelet = sets.compare.inputs["visual_encoder"][place]
        assert len(tubelet) == num_frames
        shown = np.round(tubelet.astype(np.float64).mean(axis=(1, 2, 3)) / GREY_STEP) / FRAME_RATE
        wanted = seconds + (np.arange(num_frames) - num_frames // 2) * CONFIG.frame_step_seconds
        # Half a frame, and what the text rounds away.
        assert np.all(np.abs(shown - wanted) <= 0.5 / FRAME_RATE + 0.006)
        assert np.all(np.diff(shown) >= 0)
    # From nearly the beginning to nearly the end, where segments of 0.8 s still fit.
    assert min(spread) < 0.5
    assert max(spread) > SECONDS - 0.5


def test_noise_is_noise(counting: SampleSets) -> None:
    made = noise(CONFIG)
    assert set(made) == set(counting.compare.inputs)
    for graph, array in made.items():
        assert array.dtype == counting.compare.inputs[graph].dtype
        assert array.shape[2:] == counting.compare.inputs[graph].shape[2:]
    assert not made["audio_frontend"][0, -4000:].any()
    assert made["audio_frontend"].any()


def test_bundles_say_what_they_were_compared_on(
    clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artefacts, "write_graph", remembered_graph)
    said: list[str] = []
    export_bundle(lively_run(), tmp_path / "bundle", calibration_clips=clips[:4], on_stage=said.append)
    assert "running the model on 8 moments of 2 clips" in said
    parity = json.loads((tmp_path / "bundle" / "parity.json").read_text())
    assert parity["inputs"] == "8 moments of 2 clips, and noise"
    known = {clips[0].name, clips[2].name}
    for row in parity["outputs"][1:]:
        assert {time_of(moment)[0] for moment in row["worst_samples"] if moment != "noise"} <= known
