"""Face tracks: bytes that come back, hostile bytes that do not, the main face, and the cache."""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from talking_clips import (
    DARKEST_LEVEL,
    LEVELS,
    FakeFace,
    face_points,
    make_track,
    open_finder,
    syllables,
    write_talking_clip,
    write_talking_clips,
)

from cavsync.data.faces.arrays import write_arrays
from cavsync.data.faces.cache import FaceCache
from cavsync.data.faces.face_clip import read_face_clip
from cavsync.data.faces.follow import FaceFollower
from cavsync.data.faces.track import FaceTrack
from cavsync.errors import MediaError
from cavsync.media.mouth import mouth_image

TRACK = make_track(np.linspace(0, 1, 5), np.array([0.1, 0.14, 0.2, 0.5, 0.54]))


def assert_same(found: FaceTrack, wanted: FaceTrack) -> None:
    for name, values in wanted.arrays().items():
        np.testing.assert_array_equal(found.arrays()[name], values)


def test_round_trip() -> None:
    """All values come back, and the same track gives the same bytes."""
    data = TRACK.to_bytes()
    assert_same(FaceTrack.from_bytes(data, "x"), TRACK)
    assert FaceTrack.from_bytes(data, "x").to_bytes() == data
    # NumPy itself reads them, without pickles.
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["mouths"], TRACK.mouths)


def changed(**arrays: Any) -> bytes:
    return write_arrays(TRACK.arrays() | arrays)


def compressed() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **TRACK.arrays())
    return buffer.getvalue()


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **(TRACK.arrays() | {"points": np.array([{}], dtype=object)}))  # type: ignore[arg-type]
    return buffer.getvalue()


def claiming(shape: str) -> bytes:
    """A record whose `mouths` claim a shape that the bytes do not have."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(TRACK.to_bytes())) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "mouths.npy":
                content = content.replace(b"(5, 48, 48)", shape.encode().ljust(11)[:11])
            new.writestr(name, content)
    return buffer.getvalue()


HOSTILE = {
    "nothing": b"",
    "text": b"no archive" * 100,
    "cut short": TRACK.to_bytes()[:-400],
    "flipped": TRACK.to_bytes().replace(b"\x00\x00\x00\x00\x00\x00\xe0\x3f", b"\x00\x00\x00\x00\x01\x00\xe0\x3f", 1),
    "another format": changed(format=np.array([2])),
    "times back": changed(times_seconds=TRACK.times_seconds[::-1]),
    "times not finite": changed(times_seconds=np.full(5, np.nan)),
    "no frame": changed(times_seconds=np.empty(0)),
    "fewer points": changed(points=TRACK.points[:, :10]),
    "points not finite": changed(points=np.full_like(TRACK.points, np.inf)),
    "other numbers": changed(mouths=TRACK.mouths.astype(np.float64)),
    "one mouth less": changed(mouths=TRACK.mouths[:-1]),
    "scalar": changed(presence=np.float32(1)),
    "compressed": compressed(),
    "pickled": pickled(),
    "larger than it is": claiming("(9**9,48,48"),
    "negative": claiming("(-5,48,-48)"),
    "huge": claiming("(99999999,)"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused(name: str) -> None:
    """Anything but a record is a MediaError that names it."""
    with pytest.raises(MediaError, match="the sample is not a record of faces") as caught:
        FaceTrack.from_bytes(HOSTILE[name], "the sample")
    assert caught.value.reason == "corrupt"


class Scripted:
    """A finder that gives the faces of a list, frame by frame."""

    def __init__(self, *frames: list[FakeFace]) -> None:
        self.frames = list(frames)

    def push(self, frame: np.ndarray, pts_seconds: float) -> list[FakeFace]:
        del frame, pts_seconds
        return self.frames.pop(0)


def followed(*frames: list[FakeFace]) -> FaceTrack:
    follower = FaceFollower(Scripted(*frames))
    for number in range(len(frames)):
        follower.push(np.full((64, 64, 3), number, np.uint8), number / 10)
    return follower.main_track("the clip")


def test_the_main_face_is_in_most_frames() -> None:
    """Of equally frequent ones, the larger; its times are those of the frames that show it."""
    often, large = FakeFace(0, face_points(0.2)), FakeFace(1, face_points(0.9), eye_distance_px=90.0)
    assert followed([often], [often, large], [often]).times_seconds.tolist() == [0.0, 0.1, 0.2]
    track = followed([often], [often, large], [large])
    assert track.times_seconds.tolist() == [0.1, 0.2]
    np.testing.assert_allclose(track.points[0], face_points(0.9), rtol=1e-6)
    assert track.eye_distance_px.tolist() == [90.0, 90.0]
    np.testing.assert_array_equal(track.mouths[1], mouth_image(face_points(0.9), np.full((64, 64, 3), 2, np.uint8)))


def test_no_face_is_a_reason() -> None:
    """A clip without a face is rejected by that word."""
    with pytest.raises(MediaError, match="the clip shows no face") as caught:
        followed([], [])
    assert caught.value.reason == "no_face"


def test_times_are_those_of_the_container(tmp_path: Path) -> None:
    """The times of the frames that show the face, and the audio's start."""
    opening = syllables(3)
    clip = read_face_clip(
        write_talking_clip(tmp_path / "a.mkv", opening, frame_rate_hz=20, dark_seconds=(0.0, 0.5)), open_finder
    )
    np.testing.assert_allclose(clip.track.times_seconds, np.arange(10, 52) / 20, atol=1e-3)
    wanted = np.rint(DARKEST_LEVEL + LEVELS * opening(np.arange(10, 52) / 20))
    np.testing.assert_allclose(clip.track.mouths[:, 10, 24], wanted, atol=1)
    assert clip.audio_start_seconds == pytest.approx(0.0, abs=1e-3)


@pytest.fixture
def videos(tmp_path: Path) -> list[str]:
    """Two clips, one without a face, and one that is no video."""
    folder = write_talking_clips(tmp_path / "videos", 2)
    write_talking_clip(folder / "dark.mkv", syllables(9), dark_seconds=(0.0, 9.0))
    (folder / "text.mp4").write_text("no video")
    return sorted(map(str, folder.iterdir()))


def counting_finder(calls: list[int]) -> Any:
    def opened() -> Any:
        calls.append(1)
        return open_finder()

    return opened


def test_cache_looks_once(videos: list[str], tmp_path: Path) -> None:
    """A second call finds everything, rejected clips too; changed clips and damaged entries are looked at again."""
    cache, calls = FaceCache(tmp_path / "cache"), list[int]()
    told: list[tuple[int, int]] = []
    assert cache.fill(videos, counting_finder(calls), workers=1, progress=lambda *count: told.append(count))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    first = len(calls)
    assert cache.fill(videos, counting_finder(calls), workers=1)
    assert len(calls) == first
    wanted = read_face_clip(videos[0], open_finder)
    found = cache.load(videos[0])
    assert_same(found.track, wanted.track)
    np.testing.assert_array_equal(found.samples, wanted.samples)
    for name, reason in ((videos[2], "no_face"), (videos[3], "unreadable")):
        with pytest.raises(MediaError) as caught:
            cache.load(name)
        assert caught.value.reason == reason
    # A clip that was replaced, also one that had been rejected.
    write_talking_clip(Path(videos[2]), syllables(5))
    os.utime(videos[0], ns=(1, 1))
    assert cache.fill(videos, counting_finder(calls), workers=1)
    assert len(calls) == first + 2
    assert len(cache.load(videos[2]).track) > 0
    for entry in cache.folder.iterdir():
        entry.write_bytes(entry.read_bytes()[:-100])
    assert cache.fill(videos, counting_finder(calls), workers=1)
    assert_same(cache.load(videos[0]).track, wanted.track)


def test_cache_fills_in_processes_and_stops(videos: list[str], tmp_path: Path) -> None:
    """Several processes write the same bytes as one; a stop keeps what is finished."""
    one, two = FaceCache(tmp_path / "one"), FaceCache(tmp_path / "two")
    done: list[int] = []
    assert not one.fill(
        videos, open_finder, workers=1, progress=lambda count, _: done.append(count), is_stopped=lambda: bool(done)
    )
    assert len(list(one.folder.iterdir())) == 1
    assert one.fill(videos, open_finder, workers=1)
    assert two.fill(videos, open_finder, workers=2)
    assert {path.name: path.read_bytes() for path in one.folder.iterdir()} == {
        path.name: path.read_bytes() for path in two.folder.iterdir()
    }


def test_cache_misses_are_told(videos: list[str], tmp_path: Path) -> None:
    """A file that is not in the cache, and an entry that is no JSON of ours."""
    cache = FaceCache(tmp_path / "cache")
    with pytest.raises(MediaError, match="start again"):
        cache.load(videos[0])
    cache.fill(videos[2:3], open_finder, workers=1)
    (entry,) = cache.folder.iterdir()
    entry.write_text(json.dumps([1]))
    with pytest.raises(MediaError, match="start again"):
        cache.load(videos[2])
