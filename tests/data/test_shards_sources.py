"""Lists of clips: VGGSound and AudioSet CSV files beside downloads, CAV-MAE lists, label vocabularies."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from generated_clips import make_clips
from PIL import Image

from cavsync.data.clip import load_clip
from cavsync.data.shards import PackOptions, ShardFolder, read_vocabulary
from cavsync.data.shards.media_names import MediaNames
from cavsync.data.shards.pack import pack
from cavsync.data.shards.sources import list_items
from cavsync.data.sources.cav_mae_list import CavMaeList
from cavsync.errors import ConfigError, DataError

ONE_SHARD = PackOptions(shard_clips=100)


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 seconds."""
    folder = tmp_path_factory.mktemp("long")
    make_clips(folder, 1, duration_seconds=14.0, size=(96, 64), fps=Fraction(10), families=["impacts"], container="mp4")
    return next(folder.glob("*.mp4"))


@pytest.fixture(scope="module")
def short_videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two seconds each."""
    folder = tmp_path_factory.mktemp("short")
    make_clips(folder, 2, size=(96, 64), fps=Fraction(10), container="mp4")
    return sorted(folder.glob("*.mp4"))


def loaded(folder: Path, **options: int) -> dict[str, tuple[int, ShardFolder]]:
    """Index and source by the id of the data set."""
    source = ShardFolder.open(folder, **({"frames_per_clip": 10, "segment_frames": 48} | options))
    return {source._record(*source.sample(i), "").id: (i, source) for i in range(len(source))}


def rejects(folder: Path) -> dict[str, str]:
    lines = (folder / "rejects.jsonl").read_text().splitlines()
    return {record["name"]: record["reason"] for record in map(json.loads, lines)}


@pytest.mark.parametrize(
    "name",
    [
        "-aB_0_000030.mp4",
        "-aB_0_30.000.mp4",
        "-aB_0_30.000_40.000.webm",
        "sub/-aB_0_30000_40000.mkv",
        "-aB_0_30_40.mp4",
    ],
)
def test_names_of_cut_files(name: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for present in (name, "-aB_0.mp4", "-aB_0_000031.mp4"):
        (tmp_path / present).touch()
    names = MediaNames(tmp_path)
    assert names.find("-aB_0", 30.0, 40.0) == (name, False)
    assert names.find("-aB_0", 12.0, 22.0) == ("-aB_0.mp4", True)
    assert names.find("-aB", 30.0, 40.0) is None


def test_vggsound_csv(long_video: Path, short_videos: list[Path], tmp_path: Path) -> None:
    """A cut file as it is, the right ten seconds of a whole video, a reject for what was not downloaded."""
    media = tmp_path / "media"
    media.mkdir()
    shutil.copy(long_video, media / "whole.mp4")
    shutil.copy(short_videos[0], media / "cut_000042.mp4")
    shutil.copy(short_videos[1], media / "short.mp4")
    table = tmp_path / "vggsound.csv"
    table.write_text(
        'whole,3,"male speech, man speaking",train\ncut,42,playing drums,test\n'
        "short,50,playing drums,test\ngone,7,playing drums,train\nwhole,100,playing drums,train\n"
    )
    out = tmp_path / "out"
    manifest = pack(table, out, ONE_SHARD, media=media, workers=1)
    assert dict(manifest.reasons) == {"missing": 1, "too_short": 1}
    assert rejects(out) == {"gone": "missing", "whole.mp4": "too_short"}
    clips = loaded(out)
    index, source = clips["whole"]
    clip, original = source.load(index, 32), load_clip(long_video, 32)
    inside = (original.pts_seconds >= 3.0) & (original.pts_seconds < 13.0)
    np.testing.assert_array_equal(clip.pts_seconds, original.pts_seconds[inside] - 3.0)
    assert clip.labels == ("male speech, man speaking",)
    first = round((clip.audio_start_seconds + 3.0 - original.audio_start_seconds) * 16_000)
    assert clip.audio_start_seconds == pytest.approx(0.0, abs=1e-4)
    expected = original.audio.samples[first : first + len(clip.audio.samples)]
    assert 10.0 <= len(expected) / 16_000 < 10.2
    assert np.abs(clip.audio.samples - expected).max() <= 0.5001 / 32768
    for name, path in (("cut", short_videos[0]), ("short", short_videos[1])):
        index, source = clips[name]
        np.testing.assert_array_equal(source.load(index, 32).pts_seconds, load_clip(path, 32).pts_seconds)


def test_audioset_csv(long_video: Path, tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    shutil.copy(long_video, media / "0-I_x.mp4")
    table = tmp_path / "eval_segments.csv"
    table.write_text(
        "# Segments csv created Sun Mar  5 10:54:25 2017\n# num_ytids=2, num_segs=2\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
        '0-I_x, 2.000, 12.000, "/m/02qldy,/m/02zsn"\n--gone, 30.000, 40.000, "/m/04rlf"\n'
    )
    out = tmp_path / "out"
    pack(table, out, PackOptions(frames=5, max_seconds=6.0), media=media, workers=1)
    assert rejects(out) == {"--gone": "missing"}
    index, source = loaded(out)["0-I_x"]
    clip = source.load(index, 32)
    assert clip.labels == ("/m/02qldy", "/m/02zsn")
    np.testing.assert_allclose(clip.pts_seconds, [0.6, 1.8, 3.0, 4.2, 5.4], atol=0.11)
    assert set(clip.pts_seconds + 2.0) <= set(load_clip(long_video, 32).pts_seconds)
    assert source._record(*source.sample(index), "").cut_seconds == (2.0, 12.0)


def test_bad_tables(tmp_path: Path, short_videos: list[Path]) -> None:
    table = tmp_path / "list.csv"
    media = short_videos[0].parent
    for text, words in [("a,b,c,d\n", "line 1"), ("# x\na,1,c\n", "line 2"), ("", "holds no clip")]:
        table.write_text(text)
        with pytest.raises(DataError, match=words):
            list_items(table, media)
    with pytest.raises(DataError, match="no media file"):
        list_items(table, tmp_path)
    with pytest.raises(ConfigError, match="do not fit"):
        list_items(table)


@pytest.fixture
def cav_mae_list(tmp_path: Path) -> Path:
    """Two clips of four frames and three seconds of audio; a third one lacks its frames."""
    random = np.random.default_rng(0)
    entries = []
    for name, rate in (("b", 16_000), ("a", 44_100), ("c", 16_000)):
        wav = tmp_path / f"{name}.wav"
        write_wav(wav, random.uniform(-0.5, 0.5, 3 * rate), rate)
        labels = "/m/01,/m/02" if name == "a" else "/m/02"
        entries.append({"wav": str(wav), "video_id": name, "video_path": str(tmp_path / "frames"), "labels": labels})
        for number in range(4 if name != "c" else 0):
            folder = tmp_path / "frames" / f"frame_{number}"
            folder.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 255, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((80, 60)).save(folder / f"{name}.jpg", quality=95)
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"data": entries}))
    return path


def write_wav(path: Path, samples: np.ndarray, rate: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_cav_mae_list(cav_mae_list: Path, tmp_path: Path) -> None:
    """Frames keep their bytes, and their segments of audio are those of the list read directly."""
    out = tmp_path / "out"
    pack(cav_mae_list, out, ONE_SHARD, workers=1)
    assert list(rejects(out).values()) == ["missing"]
    clips = loaded(out, frames_per_clip=4, segment_frames=96)
    direct = CavMaeList.open(cav_mae_list, frames_per_clip=4, segment_frames=96)
    for number, name in enumerate("ba"):
        index, source = clips[name]
        clip, original = source.load(index, 60), direct.load(number, 60)
        np.testing.assert_array_equal(clip.frames[np.arange(4)], original.frames)
        np.testing.assert_array_equal(clip.segment_starts, original.segment_starts)
        np.testing.assert_array_equal(clip.pts_seconds, original.pts_seconds)
        assert np.abs(clip.audio.samples - original.audio.samples).max() <= 0.5001 / 32768
        assert clip.labels == (("/m/01", "/m/02") if name == "a" else ("/m/02",))
    index, source = clips["a"]
    wrong = ShardFolder.open(out, frames_per_clip=10, segment_frames=96)
    with pytest.raises(Exception, match="frames_per_clip=4") as caught:
        wrong.load(index, 60)
    assert caught.value.reason == "frame_count"


def test_large_frames_of_a_list_shrink(cav_mae_list: Path, tmp_path: Path) -> None:
    pack(cav_mae_list, tmp_path / "out", PackOptions(short_side_px=30), workers=1)
    index, source = loaded(tmp_path / "out", frames_per_clip=4)["a"]
    record = source._record(*source.sample(index), "")
    assert (record.width, record.height) == (40, 30)
    with pytest.raises(ConfigError, match="by number"):
        pack(cav_mae_list, tmp_path / "other", PackOptions(frames=2), workers=1)


def test_vocabulary(cav_mae_list: Path, tmp_path: Path) -> None:
    """Labels that the vocabulary does not know are rejected, here and, with another vocabulary, on reading."""
    table = tmp_path / "labels.csv"
    table.write_text('index,mid,display_name\n0,/m/02,"Speech, male"\n')
    vocabulary = read_vocabulary(table)
    assert vocabulary == [(0, "/m/02", "Speech, male")]
    out = tmp_path / "out"
    pack(cav_mae_list, out, ONE_SHARD, vocabulary=vocabulary, workers=1)
    assert sorted(rejects(out).values()) == ["label", "missing"]
    source = ShardFolder.open(out, frames_per_clip=4, segment_frames=96)
    assert source.vocabulary == ((0, "/m/02", "Speech, male"),)
    assert source.load(0, 32).labels == ("/m/02",)
    manifest = out / "manifest.json"
    manifest.write_text(manifest.read_text().replace("/m/02", "/m/03"))
    with pytest.raises(Exception, match="'/m/02'") as caught:
        ShardFolder.open(out, frames_per_clip=4, segment_frames=96).load(0, 32)
    assert caught.value.reason == "label"
    table.write_text("a,b\n")
    with pytest.raises(DataError, match="index,mid,display_name"):
        read_vocabulary(table)
