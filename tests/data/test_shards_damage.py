"""Damaged shards: everything is named and counted, nothing is made up, and what is whole stays usable."""

import json
import shutil
import tarfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from generated_clips import make_clips
from hypothesis import given, settings
from hypothesis import strategies as st
from opened_shards import FRAMES, make_foreign, opened, reasons, use_all

from cavsync.data.shards import PackOptions, flac
from cavsync.data.shards.jpeg import decode_jpeg, encode_jpeg
from cavsync.data.shards.pack import pack
from cavsync.data.shards.scan_tar import scan_tar
from cavsync.errors import DataError, MediaError


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of two shards with three and two clips of three frames."""
    folder = tmp_path_factory.mktemp("videos")
    make_clips(folder, 5, size=(96, 64), fps=Fraction(10), container="mp4")
    out = tmp_path_factory.mktemp("pack")
    pack(folder, out, PackOptions(frames=FRAMES, shard_clips=3), workers=1)
    return out


@pytest.fixture
def shards(pristine: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(pristine, tmp_path / "shards"))


def member(folder: Path, shard: int, name: str) -> tuple[Path, tarfile.TarInfo]:
    path = folder / f"shard-{shard:06d}.tar"
    with tarfile.open(path) as tar:
        return path, next(info for info in tar if info.name.endswith(name))


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)


@pytest.mark.parametrize("with_index", [True, False])
def test_truncated_tar(shards: Path, with_index: bool) -> None:
    """The samples before the cut stay; the cut one and the one behind it are lost, by name where that is known."""
    path, info = member(shards, 0, "1.frame-0001.jpg")
    with path.open("r+b") as stream:
        stream.truncate(info.offset_data + 10)
    if not with_index:
        path.with_suffix(".idx").unlink()
    source = opened(shards)
    assert len(source.names) == 3
    assert use_all(source) == {}
    last = "000000002" if with_index else "?"
    assert reasons(source) == [(path.name, "000000001", "truncated"), (path.name, last, "truncated")]
    assert all(path.name in found.error for found in source.damage)
    np.testing.assert_array_equal(source.shard_of, [0, 1, 1])


@pytest.mark.parametrize("with_index", [True, False])
def test_cut_between_samples(shards: Path, with_index: bool) -> None:
    path, info = member(shards, 0, "2.json")
    with path.open("r+b") as stream:
        stream.truncate(info.offset)
    if not with_index:
        path.with_suffix(".idx").unlink()
    source = opened(shards)
    assert [reason for _, _, reason in reasons(source)] == ["truncated"]
    assert len(source.names) == 4
    assert use_all(source) == {}


def test_empty_and_missing_shards(shards: Path) -> None:
    (shards / "shard-000000.tar").write_bytes(b"")
    (shards / "extra.tar").write_bytes(b"")
    (shards / "zeros.tar").write_bytes(bytes(10240))
    (shards / "shard-000001.tar").unlink()
    with pytest.raises(DataError, match="no usable clip"):
        opened(shards)
    make_foreign(shards / "whole.tar", ["a"])
    source = opened(shards)
    counted = [(shard, reason) for shard, _, reason in reasons(source)]
    assert sorted(counted) == sorted(
        [("extra.tar", "empty"), ("zeros.tar", "empty")]
        + [("shard-000000.tar", "empty")] * 3
        + [("shard-000001.tar", "missing")] * 2
    )
    assert len(source.names) == 1


def test_garbage_in_the_headers(shards: Path) -> None:
    path, info = member(shards, 0, "1.flac")
    overwrite(path, info.offset, b"\xa5" * 512)
    path.with_suffix(".idx").unlink()
    source = opened(shards)
    assert {reason for _, _, reason in reasons(source)} == {"corrupt"}
    assert len(source.damage) == 2
    assert len(source.names) == 3


def test_damaged_frames_and_audio(shards: Path) -> None:
    """A change of content is found, even one that decoders accept, and named by its member."""
    path, frame = member(shards, 0, "0.frame-0002.jpg")
    overwrite(path, frame.offset_data + frame.size // 2, b"\x5a\x5a\x5a")
    _, audio = member(shards, 0, "1.flac")
    overwrite(path, audio.offset_data + audio.size - 1, b"\x00")
    source = opened(shards)
    clip = source.load(0, 32)
    assert clip.frames[np.array([0, 1])].shape == (2, 3, 32, 32)
    with pytest.raises(MediaError, match=r"shard-000000\.tar: 000000000\.frame-0002\.jpg") as caught:
        clip.frames[np.array([2])]
    assert caught.value.reason == "corrupt"
    rejects = use_all(source)
    assert [error.reason for error in rejects.values()] == ["corrupt", "corrupt"]
    assert "000000001.flac" in list(rejects.values())[1].args[0]


def test_broken_description(shards: Path) -> None:
    path, info = member(shards, 1, "3.json")
    overwrite(path, info.offset_data, b"{{{{")
    rejects = use_all(opened(shards))
    assert [(Path(name).parts[-2:], error.reason) for name, error in rejects.items()] == [
        (("shard-000001.tar", "000000003"), "incomplete")
    ]


def test_shard_that_vanishes_or_shrinks_while_in_use(shards: Path) -> None:
    source = opened(shards)
    (shards / "shard-000000.tar").unlink()
    with (shards / "shard-000001.tar").open("r+b") as stream:
        stream.truncate(700)
    found = [error.reason for error in use_all(source).values()]
    assert found == ["missing"] * 3 + ["truncated"] * 2
    with pytest.raises(IndexError):
        source.load(5, 32)


def test_unfinished_pack_is_said(shards: Path) -> None:
    manifest = json.loads((shards / "manifest.json").read_text())
    (shards / "manifest.json").write_text(json.dumps(manifest | {"complete": False, "shards": []}))
    source = opened(shards)
    assert [found.reason for found in source.damage] == ["unfinished"]
    assert use_all(source) == {}
    (shards / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="not a manifest"):
        opened(shards)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_cut_and_any_flip(pristine: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Wherever a tar is cut or a byte changed: every clip is there, or named as lost, and nothing else happens."""
    folder = Path(shutil.copytree(pristine, tmp_path_factory.mktemp("any") / "shards"))
    path = folder / "shard-000000.tar"
    place = data.draw(st.integers(0, path.stat().st_size - 1))
    if data.draw(st.booleans()):
        with path.open("r+b") as stream:
            stream.truncate(place)
    else:
        overwrite(path, place, bytes([path.read_bytes()[place] ^ 0xFF]))
    if data.draw(st.booleans()):
        path.with_suffix(".idx").unlink()
    source = opened(folder)
    assert len(source.names) + len(source.damage) == 5
    use_all(source)


def test_walk_agrees_with_the_index(pristine: Path) -> None:
    """Two ways to the same places: remembered when written, and read from the headers."""
    for path in pristine.glob("*.tar"):
        found = scan_tar(path)
        assert (found.end, found.incomplete) == ("", {})
        with tarfile.open(path) as tar:
            expected = [(info.offset_data, info.size) for info in tar]
        assert [tuple(row) for row in found.index.ranges.tolist()] == expected
        kept = json.loads(path.with_suffix(".idx").read_text())
        assert (kept["keys"], list(zip(kept["offsets"], kept["sizes"], strict=True))) == (found.index.keys, expected)


@pytest.mark.parametrize("entry", [{"clips": 10**15}, {"clips": -1}, {"name": "../shard.tar"}, {"name": "x"}])
def test_manifests_that_promise_too_much(shards: Path, entry: dict[str, object]) -> None:
    """The number of clips is that of large arrays, and a name is one in this folder."""
    path = shards / "manifest.json"
    content = json.loads(path.read_text())
    content["shards"][0].update(entry)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="is not a manifest of shards"):
        opened(shards)


@pytest.mark.parametrize(
    "change", [{"offsets": -1}, {"offsets": 100}, {"sizes": 1 << 40}, {"sizes": 10**30}, {"members": 2}]
)
def test_indexes_that_lead_out_of_their_tar(shards: Path, change: dict[str, int]) -> None:
    """They are ignored, and the tar's headers are read instead."""
    path = shards / "shard-000000.idx"
    content = json.loads(path.read_text())
    for name, value in change.items():
        content[name][0] = value
    path.write_text(json.dumps(content))
    source = opened(shards)
    assert len(source.names) == 5
    assert use_all(source) == {}


@pytest.mark.parametrize("size", [-1024, -(1 << 40), 1 << 60])
def test_headers_with_impossible_sizes(shards: Path, size: int) -> None:
    """A negative size would lead backwards, to the same header again and again."""
    path, info = member(shards, 0, "1.flac")
    path.with_suffix(".idx").unlink()
    info.size = 0
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    # Numbers that octal digits do not hold are written in base 256.
    header[124:136] = (size & ((1 << 95) - 1) | (0xFF if size < 0 else 0x80) << 88).to_bytes(12, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    overwrite(path, info.offset, bytes(header))
    source = opened(shards)
    assert {entry.shard for entry in source.damage} == {str(path)}
    assert use_all(source) == {}
    assert len(source.names) == 3
    assert {reason for _, _, reason in reasons(source)} == {"corrupt"}


def test_audio_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of FLAC holds hours of silence."""
    monkeypatch.setattr(flac, "MAX_SECONDS", 1)
    assert len(flac.decode_flac(flac.encode_flac(np.zeros(16_000, np.float32)), "it")) == 16_000
    with pytest.raises(MediaError, match="it is longer than"):
        flac.decode_flac(flac.encode_flac(np.zeros(40_000, np.float32)), "it")


def test_frames_that_claim_to_be_huge() -> None:
    data = bytearray(encode_jpeg(np.zeros((16, 16, 3), np.uint8), 16, 90))
    place = data.index(b"\xff\xc0") + 5
    for side in (7_000, 30_000):
        data[place : place + 4] = 2 * side.to_bytes(2, "big")
        with pytest.raises(MediaError, match="it declares more than 35389440 pixels"):
            decode_jpeg(bytes(data), 32, "it")
