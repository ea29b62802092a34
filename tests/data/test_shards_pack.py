"""Packing: what goes in comes out, the same bytes every time, whatever happens in between."""

import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import webdataset
from generated_clips import make_clips
from waiting import PATIENCE_SECONDS

from cavsync.atomic import only_writer
from cavsync.data.clip import load_clip
from cavsync.data.shards import PackOptions, ShardFolder, is_shard_folder, read_video
from cavsync.data.shards.pack import pack, shuffled
from cavsync.data.shards.tar_writer import TarWriter
from cavsync.errors import ConfigError, DataError

SHARD_OPTIONS = PackOptions(shard_clips=2, licence="CC0-1.0", jpeg_quality=95)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    make_clips(folder, 5, container="mixed")
    (folder / "truth.jsonl").unlink()
    (folder / "labels.csv").unlink()
    (folder / "broken.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def packed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed")
    pack(videos, out, SHARD_OPTIONS, workers=1)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def open_folder(folder: Path) -> ShardFolder:
    return ShardFolder.open(folder, frames_per_clip=10, segment_frames=48)


def order(videos: Path) -> list[Path]:
    """Usable files in the order of the pack."""
    listed = sorted(videos.iterdir())
    return [listed[i] for i in shuffled(len(listed), 0) if listed[i].name != "broken.mp4"]


def test_round_trip(videos: Path, packed: Path) -> None:
    """Exact times; audio within rounding to 16 bits; frames within the error of JPEG."""
    source = open_folder(packed)
    files = order(videos)
    assert len(source.names) == len(files) == 5
    for index, path in enumerate(files):
        clip, original = source.load(index, 96), load_clip(path, 96)
        np.testing.assert_array_equal(clip.pts_seconds, original.pts_seconds)
        assert clip.audio_start_seconds == original.audio_start_seconds
        assert np.abs(clip.audio.samples - original.audio.samples).max() <= 0.5001 / 32768
        everything = np.arange(len(original.frames))
        error = clip.frames[everything].astype(float) - original.frames[everything]
        assert np.abs(error).mean() < 2.0
        assert clip.segment_starts is None
        assert source.names[index] in clip.source.replace(": sample ", "/")
    assert source.damage == ()
    places = [i for i, place in enumerate(shuffled(6, 0)) if sorted(videos.iterdir())[place].name != "broken.mp4"]
    np.testing.assert_array_equal(source.shard_of, np.array(places) // 2)


def test_frames_are_lazy_and_indexed_like_arrays(packed: Path) -> None:
    clip = open_folder(packed).load(1, 32)
    everything = clip.frames[np.arange(len(clip.frames))]
    assert everything.dtype == np.uint8
    assert everything.shape == (len(clip.frames), 3, 32, 32)
    indices = np.array([[3, 3, 0], [7, 1, -1]])
    np.testing.assert_array_equal(clip.frames[indices], everything[indices])
    with pytest.raises(IndexError):
        clip.frames[np.array([len(clip.frames)])]


def test_it_travels_light(packed: Path) -> None:
    """A copy in another process reads the same; no open file and no index goes along."""
    source = open_folder(packed)
    first = source.load(0, 32)
    data = pickle.dumps(source)
    assert len(data) < 3000
    again = pickle.loads(data).load(0, 32)
    np.testing.assert_array_equal(again.frames[np.arange(3)], first.frames[np.arange(3)])
    np.testing.assert_array_equal(again.audio.samples, first.audio.samples)


def test_webdataset_reads_it(packed: Path) -> None:
    """An independent reader finds the same samples, members side by side under one key."""
    source = open_folder(packed)
    samples = []
    for path in sorted(packed.glob("*.tar")):
        samples += list(webdataset.WebDataset(str(path), shardshuffle=False).decode("rgb8"))
    assert [f"{Path(s['__url__']).name}/{s['__key__']}" for s in samples] == [
        "/".join(Path(name).parts[-2:]) for name in source.names
    ]
    for index, sample in enumerate(samples):
        clip = source.load(index, 48)
        assert sample["json"]["pts_seconds"] == clip.pts_seconds.tolist()
        assert sample["json"]["licence"] == "CC0-1.0"
        frames = [key for key in sample if key.endswith(".jpg")]
        assert frames == [f"frame-{number:04d}.jpg" for number in range(len(clip.frames))]
        assert sample["frame-0000.jpg"].shape[:2] == (sample["json"]["height"], sample["json"]["width"])
        assert sample["flac"][:4] == b"fLaC"


def test_soundfile_reads_the_sound(packed: Path, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    with tarfile.open(packed / "shard-000000.tar") as tar:
        member = next(info for info in tar if info.name.endswith(".flac"))
        tar.extract(member, tmp_path, filter="data")
    samples, rate = soundfile.read(tmp_path / member.name, dtype="float32")
    assert rate == 16_000
    np.testing.assert_array_equal(samples, open_folder(packed).load(0, 32).audio.samples)


def test_manifest_tells_the_truth(packed: Path) -> None:
    manifest = json.loads((packed / "manifest.json").read_text())
    assert (manifest["complete"], manifest["clips"], manifest["rejects"]) == (True, 5, 1)
    assert manifest["reasons"] == {"unreadable": 1}
    assert manifest["hours"] == pytest.approx(5 * 2 / 3600, rel=0.05)
    for shard in manifest["shards"]:
        data = (packed / shard["name"]).read_bytes()
        assert (len(data), sha256(data).hexdigest()) == (shard["bytes"], shard["sha256"])
        with tarfile.open(packed / shard["name"]) as tar:
            infos = tar.getmembers()
        assert sum(info.name.endswith(".json") for info in infos) == shard["clips"]
        assert {(info.mtime, info.uid, info.gid, info.mode) for info in infos} == {(0, 0, 0, 0o644)}
    rejects = [json.loads(line) for line in (packed / "rejects.jsonl").read_text().splitlines()]
    assert [(reject["name"], reject["reason"]) for reject in rejects] == [("broken.mp4", "unreadable")]


def test_again_does_nothing_and_elsewhere_gives_the_same(videos: Path, packed: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in packed.iterdir()}
    pack(videos, packed, SHARD_OPTIONS, workers=1)
    assert {path: path.stat().st_mtime_ns for path in packed.iterdir()} == before
    pack(videos, tmp_path / "other", SHARD_OPTIONS, workers=1)
    assert contents(tmp_path / "other") == contents(packed)


def test_lost_parts_are_made_again(videos: Path, packed: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(packed, out)
    (out / "shard-000001.tar").unlink()
    (out / "shard-000002.idx").write_text("{")
    with (out / "shard-000000.tar").open("r+b") as stream:
        stream.truncate(1000)
    (out / ".cavsync-0123456789ab.part").write_bytes(b"left by a kill")
    pack(videos, out, SHARD_OPTIONS, workers=1)
    assert contents(out) == contents(packed)


KILLED = """
import os, signal, sys
from pathlib import Path
from cavsync.data.shards import PackOptions
from cavsync.data.shards import read_video
from cavsync.data.shards.pack import pack
from cavsync.atomic import only_writer
from cavsync.data.shards.tar_writer import TarWriter

def progress(done, total):
    if done >= 4:
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
        print(children, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]), PackOptions(shard_clips=2), workers=2, progress=progress)
"""


def test_killed_in_the_middle(videos: Path, tmp_path: Path) -> None:
    """After kill -9 no worker lives on, and the next call ends with the bytes of an undisturbed one."""
    many = tmp_path / "many"
    many.mkdir()
    for path in videos.glob("0*"):
        for number in range(8):
            os.link(path, many / f"{number}-{path.name}")
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, script, many, out], capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    deadline = time.monotonic() + PATIENCE_SECONDS
    for child in map(int, done.stdout.split()):
        while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]
    assert not json.loads((out / "manifest.json").read_text())["complete"]
    assert len(list(out.glob("shard-*.idx"))) < 20
    options = PackOptions(shard_clips=2)
    pack(many, out, options, workers=1)
    pack(many, tmp_path / "reference", options, workers=1)
    assert contents(out) == contents(tmp_path / "reference")


def test_what_it_refuses(videos: Path, packed: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="other options"):
        pack(videos, packed, SHARD_OPTIONS.model_copy(update={"jpeg_quality": 50}), workers=1)
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    shutil.copy(next(videos.glob("0*")), fewer)
    with pytest.raises(ConfigError, match="another source"):
        pack(fewer, packed, SHARD_OPTIONS, workers=1)
    with pytest.raises(ConfigError, match="empty folder"):
        pack(videos, fewer, SHARD_OPTIONS, workers=1)
    with pytest.raises(DataError, match="holds no clip"):
        pack(packed, tmp_path / "out", SHARD_OPTIONS, workers=1)
    with pytest.raises(DataError, match="is not a source"):
        pack(videos / "none", tmp_path / "out", SHARD_OPTIONS, workers=1)
    with pytest.raises(ConfigError, match="do not fit"):
        pack(videos, tmp_path / "out", SHARD_OPTIONS, media=videos, workers=1)
    bad = tmp_path / "bad"
    bad.mkdir()
    shutil.copy(videos / "broken.mp4", bad)
    for _ in range(2):
        with pytest.raises(DataError, match="No clip could be packed"):
            pack(bad, tmp_path / "nothing", SHARD_OPTIONS, workers=1)


def test_one_writer_at_a_time(videos: Path, tmp_path: Path) -> None:
    with only_writer(tmp_path), pytest.raises(DataError, match="another process"):
        pack(videos, tmp_path, SHARD_OPTIONS, workers=1)


def test_no_room(videos: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is one sentence; what was finished stays, and the rest is made later."""
    real, calls = TarWriter.add, []

    def add(writer: TarWriter, name: str, data: bytes) -> int:
        calls.append(name)
        if name.startswith("000000003."):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(writer, name, data)

    with monkeypatch.context() as patched:
        patched.setattr(TarWriter, "add", add)
        with pytest.raises(DataError, match="No space left"):
            pack(videos, tmp_path, SHARD_OPTIONS, workers=1)
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json", "shard-000000.tar", "shard-000000.idx"}
    pack(videos, tmp_path, SHARD_OPTIONS, workers=1)
    assert contents(tmp_path) == contents(packed)


def test_containers_that_lie_about_times(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where packets tell other times than frames do, the choice still goes by the frames."""
    options = PackOptions(frames=5)
    for path in videos.glob("0*"):
        expected = read_video.read_video(path, options)
        for wrong in ([], [0.0, 0.123]):
            with monkeypatch.context() as patched:
                patched.setattr(read_video, "_packet_times", lambda path, part, wrong=wrong: wrong)
                found = read_video.read_video(path, options)
            assert found.frames == expected.frames
            np.testing.assert_array_equal(found.pts_seconds, expected.pts_seconds)


def test_options_decide_frames(videos: Path, tmp_path: Path) -> None:
    """Number, rate and size of frames; the size of shards; the longest part."""
    few = pack(videos, tmp_path / "few", PackOptions(frames=4, short_side_px=64, shard_megabytes=0.2), workers=1)
    assert few.clips_per_shard > 1
    assert all(entry.bytes < 300_000 for entry in few.shards)
    source = open_folder(tmp_path / "few")
    for index, path in enumerate(order(videos)):
        times, clip = load_clip(path, 16).pts_seconds, source.load(index, 64)
        assert len(clip.pts_seconds) == 4
        assert set(clip.pts_seconds) <= set(times)
    pack(videos, tmp_path / "slow", PackOptions(frame_rate_hz=5, max_seconds=1.0, shard_clips=9), workers=1)
    source = open_folder(tmp_path / "slow")
    for index, path in enumerate(order(videos)):
        clip, original = source.load(index, 64), load_clip(path, 16, max_seconds=1.0)
        np.testing.assert_allclose(np.diff(clip.pts_seconds), 0.2, atol=0.045)
        assert clip.pts_seconds[-1] < 1.0
        assert np.abs(clip.audio.samples - original.audio.samples).max() <= 0.5001 / 32768


def test_is_shard_folder(videos: Path, packed: Path) -> None:
    assert is_shard_folder(packed)
    assert not is_shard_folder(videos)
    assert not is_shard_folder(packed / "manifest.json")
    assert not is_shard_folder(packed / "none")
