"""Packs with face tracks: the same tracks as from the files, the same bytes every time, and old packs as they were."""

import json
from pathlib import Path

import numpy as np
import pytest
from talking_clips import open_finder, syllables, write_talking_clip, write_talking_clips

from cavsync.data.faces.face_clip import read_face_clip
from cavsync.data.shards import PackOptions, ShardFolder
from cavsync.data.shards.pack import pack, shuffled
from cavsync.errors import ConfigError, MediaError

OPTIONS = PackOptions(faces=True, shard_clips=2, frame_rate_hz=5)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips, and one without a face."""
    folder = write_talking_clips(tmp_path_factory.mktemp("videos"), 4)
    write_talking_clip(folder / "dark.mkv", syllables(1), dark_seconds=(0.0, 9.0))
    return folder


@pytest.fixture(scope="module")
def packed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed")
    pack(videos, out, OPTIONS, workers=1, open_finder=open_finder)
    return out


def opened(folder: Path) -> ShardFolder:
    return ShardFolder.open(folder, frames_per_clip=10, segment_frames=48)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_tracks(source: ShardFolder, videos: Path) -> None:
    """Every frame of the files, though only five a second are kept as pictures."""
    listed = sorted(videos.iterdir())
    files = [listed[place] for place in shuffled(len(listed), 0) if listed[place].name != "dark.mkv"]
    assert len(source) == len(files) == 4
    for index, path in enumerate(files):
        found, wanted = source.load_faces(index), read_face_clip(path, open_finder)
        assert found.track.to_bytes() == wanted.track.to_bytes()
        assert np.abs(found.samples - wanted.samples).max() <= 0.5001 / 32768
        assert found.audio_start_seconds == wanted.audio_start_seconds
        assert source.file_of(index) == path.name
        assert len(source.load(index, 32).frames) == 13


def test_tracks_are_those_of_the_files(videos: Path, packed: Path) -> None:
    """Also without the indexes, whose tars other tools may have rewritten; a clip without a face is rejected."""
    assert_tracks(opened(packed), videos)
    (reject,) = [json.loads(line) for line in (packed / "rejects.jsonl").read_text().splitlines()]
    assert (reject["name"], reject["reason"]) == ("dark.mkv", "no_face")


def test_without_indexes(videos: Path, packed: Path, tmp_path: Path) -> None:
    """The tars alone have everything."""
    for path in packed.glob("*.tar"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert_tracks(opened(tmp_path), videos)


def test_bytes_are_the_same(videos: Path, packed: Path, tmp_path: Path) -> None:
    """In several processes, and after a shard was lost; other options are refused."""
    pack(videos, tmp_path, OPTIONS, workers=2, open_finder=open_finder)
    assert contents(tmp_path) == contents(packed)
    (tmp_path / "shard-000001.tar").unlink()
    pack(videos, tmp_path, OPTIONS, workers=1, open_finder=open_finder)
    assert contents(tmp_path) == contents(packed)
    with pytest.raises(ConfigError, match="other options"):
        pack(videos, tmp_path, OPTIONS.model_copy(update={"faces": False}), workers=1)


def test_packs_without_faces_are_as_they_were(videos: Path, tmp_path: Path) -> None:
    """Their indexes name no faces, and asking for a track says how to get one."""
    pack(videos, tmp_path, PackOptions(shard_clips=2), workers=1)
    for path in tmp_path.glob("*.idx"):
        assert not {"face_offsets", "face_sizes"} & json.loads(path.read_text()).keys()
    source = opened(tmp_path)
    assert len(source) == 5
    with pytest.raises(MediaError, match="--faces") as caught:
        source.load_faces(0)
    assert caught.value.reason == "no_face"


def test_damaged_track(packed: Path, tmp_path: Path) -> None:
    """A changed byte in a track is found; the rest of the clip can be used."""
    for name, data in contents(packed).items():
        (tmp_path / name).write_bytes(data)
    source = opened(tmp_path)
    shard, sample = source.sample(0)
    assert sample.faces is not None
    path = Path(source.files.paths[shard])
    data = bytearray(path.read_bytes())
    data[sample.faces[0] + sample.faces[1] // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(MediaError, match="not a record of faces") as caught:
        opened(tmp_path).load_faces(0)
    assert caught.value.reason == "corrupt"
    assert len(opened(tmp_path).load(0, 32).frames) == 13


def test_what_does_not_fit_is_refused(videos: Path, tmp_path: Path) -> None:
    """Faces without a finder, a finder without faces, and lists of single frames."""
    with pytest.raises(ConfigError, match="open_finder"):
        pack(videos, tmp_path / "a", OPTIONS, workers=1)
    with pytest.raises(ConfigError, match="open_finder"):
        pack(videos, tmp_path / "b", PackOptions(), workers=1, open_finder=open_finder)
    with pytest.raises(ConfigError, match="no face can be followed"):
        pack(tmp_path / "list.json", tmp_path / "c", PackOptions(faces=True), workers=1, open_finder=open_finder)
