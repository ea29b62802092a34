"""Clips, instants and batches, against brute force."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from generated_clips import make_clips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cavsync.data.augment.config import Augmentation
from cavsync.data.augment.frames import ColourChange
from cavsync.data.batches import ClipPairs, PairDataset, collate
from cavsync.data.check import check_source
from cavsync.data.clip import Clip, load_clip
from cavsync.data.clip_audio import LogMel
from cavsync.data.logmel import log_mel
from cavsync.data.planned_audio import PlannedAudio
from cavsync.data.sampling import SamplePlan, draw_instants, take_sample, usable_instants
from cavsync.data.segments import AudioSegments
from cavsync.data.sources.cav_mae_list import CavMaeList
from cavsync.data.sources.clips import open_source
from cavsync.data.sources.video_folder import VideoFolder
from cavsync.errors import DataError, MediaError
from cavsync.media import AudioChunk
from cavsync.media.align import upstream_start_frame
from cavsync.media.audio_file import join_chunks, read_audio


def made_clip(seconds: float = 4.0, fps: float = 25.0, audio_start_seconds: float = 0.0) -> Clip:
    """Frame k is filled with k; log-mel frame m with m."""
    count, frames = round(seconds * fps), round(seconds * 100)
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 3, 8, 8)).copy()
    features = np.broadcast_to(np.arange(frames, dtype=np.float32)[:, None], (frames, 128)).copy()
    return Clip("made", images, np.arange(count) / fps, LogMel(features), audio_start_seconds)


AUGMENTATION = Augmentation(
    mirror=0.5, crop_area=(0.5, 1.0), colour=1.0, tempo=(0.9, 1.1), gain_db=6.0, background=0.5, mixup=0.5
)
PLAN = SamplePlan(segment_frames=48, num_frames=5, frame_step_seconds=0.04, instants=6, spacing_seconds=0.08)


@settings(deadline=None)
@given(st.floats(12.0, 60.0), st.floats(-0.2, 0.3), st.integers(0, 1000))
def test_instants_and_their_segments(fps: float, audio_start_seconds: float, seed: int) -> None:
    """Segments lie inside the audio, within 5 ms of their frame; tubelet frames are the nearest ones."""
    clip = made_clip(fps=fps, audio_start_seconds=audio_start_seconds)
    instants = draw_instants(clip, PLAN, np.random.default_rng(seed))
    assert (np.diff(instants) >= 0).all()
    sample = take_sample(clip, instants, PLAN)
    starts = sample.audio.values.numpy()[:, 0, 0].astype(np.float64)
    # A log-mel frame of 25 ms every 10 ms: the middle of 48 lies 23.5 of them and half a window after the first begins.
    middle_seconds = audio_start_seconds + (starts + 23.5) * 0.010 + 0.0125
    assert np.abs(middle_seconds - sample.times_seconds).max() <= 0.005 + 1e-9
    assert (starts >= 0).all()
    np.testing.assert_array_equal(
        sample.audio.values.numpy()[:, :, 0] - starts[:, None], np.tile(np.arange(48), (6, 1))
    )
    for place, moment in enumerate(sample.times_seconds):
        for step in range(5):
            wanted = moment + (step - 2) * 0.04
            distance = np.abs(clip.pts_seconds - wanted)
            shown = int(sample.frames[sample.tubelets[place, step], 0, 0, 0])
            assert distance[shown] <= distance.min() + 1e-9


def test_padding_is_upstream_s() -> None:
    """Pushed inside the audio; an audio track shorter than the segment is filled with zeros after the log."""
    plan = SamplePlan(segment_frames=1024, num_frames=1, frame_step_seconds=0.04, pad=True)
    clip = made_clip(seconds=9.98)
    sample = take_sample(clip, np.array([0, 120, 249]), plan)
    for row in sample.audio.values.numpy():
        np.testing.assert_array_equal(row[:, 0], np.append(np.arange(998), np.zeros(26)))


def test_too_short_is_refused() -> None:
    """A clip without enough whole segments is rejected by name and reason."""
    with pytest.raises(MediaError, match="made is too short") as caught:
        usable_instants(made_clip(seconds=0.6), PLAN)
    assert caught.value.reason == "too_short"


def pairs(name: str, times: list[float]) -> ClipPairs:
    """Pairs of one clip at the given times."""
    count = len(times)
    return ClipPairs(
        name,
        ((0, 1.0),),
        torch.randint(0, 256, (count + 1, 3, 4, 4), dtype=torch.uint8),
        torch.arange(count)[:, None] + torch.arange(2),
        PlannedAudio(AudioSegments(torch.randn(count, 6, 128))),
        torch.tensor(times),
        ColourChange.draw(1.0, np.random.default_rng(1)),
    )


@pytest.mark.parametrize("guard", [0.0, 0.1])
@pytest.mark.parametrize("same_clip_only", [False, True])
def test_ignored_pairs(guard: float, same_clip_only: bool) -> None:
    """Against two loops."""
    batch = collate([pairs("a", [0.0, 0.05, 1.0]), pairs("b", [0.0, 0.5])])
    clips, times = [0, 0, 0, 1, 1], [0.0, 0.05, 1.0, 0.0, 0.5]
    got = batch.ignored_pairs(guard, same_clip_only, torch.device("cpu"))
    if got is None:
        assert guard == 0.0
        assert not same_clip_only
        return
    for i in range(5):
        for j in range(5):
            near = clips[i] == clips[j] and abs(times[i] - times[j]) < guard
            assert bool(got[i, j]) == (near or (same_clip_only and clips[i] != clips[j]))


def test_normalised_frames() -> None:
    """ImageNet statistics after the clip's change of colour, written out."""
    item = pairs("a", [0.0, 1.0])
    got = collate([item]).normalised_frames(torch.device("cpu")).numpy()
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    frames = item.frames[item.tubelets]
    for channel in range(3):
        levels = frames[:, :, channel].numpy() * item.colour.gain[channel] + item.colour.offset[channel]
        np.testing.assert_allclose(got[:, :, channel], (levels / 255 - mean[channel]) / std[channel], atol=1e-4)


def test_same_draw_same_pairs(tmp_path: Path) -> None:
    """An item is its name: equal draws give equal tensors, other steps other ones; a reject shrinks the batch."""
    folder = make_clips(tmp_path / "clips", 2)
    (folder / "z.mp4").write_bytes(b"nothing")
    dataset = PairDataset(VideoFolder.open(folder), PLAN, 32, seed=3, augmentation=AUGMENTATION)
    once, again, other = dataset[(0, 5)], dataset[(0, 5)], dataset[(0, 6)]
    assert isinstance(once, ClipPairs)
    assert isinstance(again, ClipPairs)
    assert isinstance(other, ClipPairs)
    assert torch.equal(once.frames, again.frames)
    assert torch.equal(once.audio.own.values, again.audio.own.values)
    assert not torch.equal(once.audio.own.values, other.audio.own.values)
    batch = collate([once, dataset[(2, 5)]])
    assert len(batch) == PLAN.instants
    assert [reject.error.reason for reject in batch.rejects] == ["unreadable"]


def test_join_chunks_fills_gaps_and_keeps_what_came_first() -> None:
    """On one clock: a hole becomes zeros, an overlap is cut."""
    ones, twos = np.ones(1600, np.float32), np.full(1600, 2, np.float32)
    samples, start = join_chunks([AudioChunk(0.5, ones), AudioChunk(0.65, twos), AudioChunk(0.7, ones)])
    assert start == 0.5
    want = np.concatenate([np.ones(1600), np.zeros(800), np.full(1600, 2), np.ones(800)])
    np.testing.assert_array_equal(samples, want)


def test_loaded_features_are_torchaudio_s(tmp_path: Path) -> None:
    """A clip's log-mel is that of its decoded audio."""
    path = next(make_clips(tmp_path / "clips", 1).glob("*.mp4"))
    clip = load_clip(path, 32)
    assert clip.frames[np.arange(len(clip.frames))].shape == (50, 3, 32, 32)
    assert len(clip.audio) == pytest.approx(200, abs=6)
    silence = log_mel(torch.zeros(399))
    assert silence.shape == (0, 128)


def json_data(folder: Path, frames: int, clips: int = 2) -> Path:
    """A data set in CAV-MAE's layout, with `frames` frames per clip."""
    source = make_clips(folder / "source", clips)
    entries = []
    for number, path in enumerate(sorted(source.glob("*.mp4"))):
        for index in range(frames):
            frame = folder / "frames" / f"frame_{index}" / f"clip{number}.jpg"
            frame.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((40, 60, 3), 10 * index, np.uint8)).save(frame)
        entries.append(
            {"wav": str(path), "video_id": f"clip{number}", "video_path": str(folder / "frames"), "labels": "/m/1"}
        )
    out = folder / "data.json"
    out.write_text(json.dumps({"data": entries}))
    return out


def test_json_pairs_by_upstream_s_rule(tmp_path: Path) -> None:
    """Frame i of n gets the segment that upstream's rule names, in the training sample too."""
    path = json_data(tmp_path, 4)
    source = open_source(path, frames_per_clip=4, segment_frames=96)
    clip = source.load(0, 32)
    plan = SamplePlan(segment_frames=96, num_frames=1, frame_step_seconds=0.04, pad=True)
    sample = take_sample(clip, np.arange(4), plan)
    whole = log_mel(torch.from_numpy(read_audio(source.entries[0]["wav"]))).numpy()
    for index in range(4):
        start = upstream_start_frame(index, 4, len(clip.audio), 96)
        np.testing.assert_allclose(sample.audio.values.numpy()[index], whole[start : start + 96], atol=1e-4)
        assert abs(int(sample.frames[index, 0, 16, 16]) - 10 * index) <= 2


def test_json_with_another_frame_count_is_refused(tmp_path: Path) -> None:
    """With the sentence that says how to fix it."""
    path = json_data(tmp_path, 3)
    with pytest.raises(DataError, match=r"has 3 frames.*expects 16.*--set frames_per_clip=3"):
        open_source(path, frames_per_clip=16, segment_frames=96)


def test_json_rejects_are_named(tmp_path: Path) -> None:
    """A missing audio and a damaged frame are reported, each with its reason."""
    path = json_data(tmp_path, 2)
    content = json.loads(path.read_text())
    content["data"][0]["wav"] = str(tmp_path / "none.wav")
    (tmp_path / "frames" / "frame_1" / "clip1.jpg").write_bytes(b"broken")
    path.write_text(json.dumps(content))
    source = CavMaeList.open(path, frames_per_clip=2, segment_frames=96)
    reasons = []
    for index in range(2):
        with pytest.raises(MediaError) as caught:
            source.load(index, 32)
        reasons.append(caught.value.reason)
    assert reasons == ["unreadable", "corrupt"]


def test_check_counts_by_reason(tmp_path: Path) -> None:
    """One usable clip, one that is too short, one that is no video."""
    folder = make_clips(tmp_path / "clips", 1)
    make_clips(folder / "short", 1, duration_seconds=0.5)
    (folder / "text.mp4").write_text("no video")
    plan = SamplePlan(segment_frames=96, num_frames=1, frame_step_seconds=0.04)
    report = check_source(open_source(folder, frames_per_clip=10, segment_frames=96), plan, workers=1)
    assert report.reasons == {"too_short": 1, "unreadable": 1}
    assert len(report.clips) == 3


def test_an_empty_folder_is_no_data_set(tmp_path: Path) -> None:
    """It is refused, and so is a file that is neither."""
    with pytest.raises(DataError, match="holds no media file"):
        open_source(tmp_path, frames_per_clip=1, segment_frames=1)
    with pytest.raises(DataError, match="neither a folder"):
        open_source(tmp_path / "none", frames_per_clip=1, segment_frames=1)
