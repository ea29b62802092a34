"""Damaged shards: everything is named and counted, nothing is made up, and what is whole stays usable."""

import io
import json
import shutil
import tarfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from generated_clips import make_clips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cavsync.data.clip import load_clip
from cavsync.data.shards import PackOptions, ShardFolder, is_shard_folder
from cavsync.data.shards.flac import decode_flac, encode_flac
from cavsync.data.shards.jpeg import decode_jpeg, encode_jpeg
from cavsync.data.shards.pack import pack
from cavsync.data.shards.scan_tar import scan_tar
from cavsync.errors import DataError, MediaError
from cavsync.media import resize_center_crop

FRAMES = 3


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


def opened(folder: Path) -> ShardFolder:
    return ShardFolder.open(folder, frames_per_clip=10, segment_frames=48)


def reasons(source: ShardFolder) -> list[tuple[str, str, str]]:
    return [(Path(found.shard).name, found.sample, found.reason) for found in source.damage]


def member(folder: Path, shard: int, name: str) -> tuple[Path, tarfile.TarInfo]:
    path = folder / f"shard-{shard:06d}.tar"
    with tarfile.open(path) as tar:
        return path, next(info for info in tar if info.name.endswith(name))


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)


def use_all(source: ShardFolder) -> dict[str, MediaError]:
    """Load every clip with all its frames; the rejects by name."""
    rejects = {}
    for index, name in enumerate(source.names):
        try:
            clip = source.load(index, 32)
            assert clip.frames[np.arange(len(clip.frames))].shape == (FRAMES, 3, 32, 32)
        except MediaError as error:
            rejects[name] = error
    return rejects


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


def test_damaged_pictures_and_sound(shards: Path) -> None:
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
    with pytest.raises(DataError, match="no manifest"):
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


def make_foreign(path: Path, keys: list[str], **record: Any) -> None:
    """Samples as another tool might write them: frames numbered otherwise, a stereo audio, no index, no checks."""
    random = np.random.default_rng(1)
    described = {"pts_seconds": [0.0, 0.5, 1.0], "audio_start_seconds": 0.0, "labels": ["x"]} | record
    with webdataset.TarWriter(str(path), encoder=False) as writer:
        for key in keys:
            frames = {
                f"{i:04d}.jpg": encode_jpeg(random.integers(0, 255, (40, 60, 3), dtype=np.uint8), 40, 90)
                for i in range(FRAMES)
            }
            writer.write(
                {
                    "__key__": key,
                    "json": json.dumps(described).encode(),
                    "flac": encode_flac(random.uniform(-0.5, 0.5, 24_000).astype(np.float32)),
                    "txt": b"more",
                    **frames,
                }
            )


def test_foreign_shards(tmp_path: Path) -> None:
    """WebDataset's own writer makes shards that can be read; a manifest of another kind is passed over."""
    make_foreign(tmp_path / "a-0.tar", ["dir/one", "dir/two"])
    make_foreign(tmp_path / "a-1.tar", ["three"])
    (tmp_path / "manifest.json").write_text('{"format": "mine"}')
    assert is_shard_folder(tmp_path)
    source = opened(tmp_path)
    assert [Path(name).relative_to(tmp_path).as_posix() for name in source.names] == [
        *("a-0.tar/dir/one", "a-0.tar/dir/two", "a-1.tar/three")
    ]
    assert source.damage == ()
    assert use_all(source) == {}
    clip = source.load(2, 40)
    np.testing.assert_array_equal(clip.pts_seconds, [0.0, 0.5, 1.0])
    assert (clip.labels, len(clip.audio.samples)) == (("x",), 24_000)
    assert not any(path.suffix == ".idx" for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"labels": "x"}, "label"),
        ({"labels": [1]}, "label"),
        ({"pts_seconds": [0.0, 0.5]}, "incomplete"),
        ({"pts_seconds": [0.0, 0.5, 0.5]}, "incomplete"),
        ({"pts_seconds": "soon"}, "incomplete"),
        ({"audio_start_seconds": None}, "incomplete"),
        ({"audio_samples": 23_999}, "corrupt"),
    ],
)
def test_wrong_descriptions(tmp_path: Path, record: dict[str, Any], reason: str) -> None:
    make_foreign(tmp_path / "a.tar", ["one"], **record)
    rejects = use_all(opened(tmp_path))
    assert [(Path(name).name, error.reason) for name, error in rejects.items()] == [("one", reason)]
    assert all("a.tar" in str(error) and "one" in str(error) for error in rejects.values())


def test_missing_members(tmp_path: Path) -> None:
    """Found by the headers: no description, no audio, no frame, a gap between frames, a member twice."""
    path = tmp_path / "a.tar"
    make_foreign(path, ["a", "b", "c", "d", "e", "f"])
    dropped = {"a.json", "b.flac", "d.0001.jpg", *(f"c.{i:04d}.jpg" for i in range(FRAMES))}
    with tarfile.open(path) as tar:
        members = [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
    with tarfile.open(path, "w") as tar:
        for info, data in members:
            for _ in range(2 if info.name == "e.flac" else info.name not in dropped):
                tar.addfile(info, io.BytesIO(data))
    source = opened(tmp_path)
    assert {sample: reason for _, sample, reason in reasons(source)} == dict.fromkeys("abcde", "incomplete")
    assert [Path(name).name for name in source.names] == ["f"]
    assert "json" in source.damage[0].error
    assert use_all(source) == {}


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


def test_large_pictures_are_decoded_small(tmp_path: Path) -> None:
    """The codec's own shrinking stays close to the bicubic filter; smaller frames go through that filter alone."""
    folder = tmp_path / "clips"
    make_clips(folder, 1, size=(640, 480), fps=Fraction(10), duration_seconds=1.0)
    frame = load_clip(next(folder.glob("0*")), 480).frames[np.array([3])][0].transpose(1, 2, 0)
    data = encode_jpeg(frame, 480, 95)
    for size, bound in ((480, 2.0), (200, 1.0), (100, 1.5), (32, 2.0)):
        exact = resize_center_crop(np.asarray(Image.open(io.BytesIO(data))), size).transpose(2, 0, 1)
        difference = np.abs(decode_jpeg(data, size, "x").astype(int) - exact)
        assert difference.mean() < bound
        assert size <= 120 or not difference.any()


@given(rate=st.sampled_from([8_000, 22_050, 44_100]), stereo=st.booleans())
@settings(max_examples=6, deadline=None)
def test_foreign_sound(rate: int, stereo: bool) -> None:
    """FLAC of another rate and layout becomes 16 kHz mono of the same length and level."""
    soundfile = pytest.importorskip("soundfile")
    times = np.arange(rate) / rate
    tone = 0.5 * np.sin(2 * np.pi * 440 * times)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([tone, tone], 1) if stereo else tone, rate, format="FLAC", subtype="PCM_16")
    found = decode_flac(buffer.getvalue(), "x")
    assert abs(len(found) - 16_000) <= 32
    inner = slice(800, len(found) - 800)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(found)) / 16_000)
    assert np.abs(found[inner] - expected[inner]).max() < 0.01


@pytest.mark.parametrize("data", [b"", b"nothing", b"fLaC" + bytes(200)])
def test_unreadable_members(data: bytes) -> None:
    for decode in (lambda: decode_flac(data, "shard: a"), lambda: decode_jpeg(data, 32, "shard: a")):
        with pytest.raises(MediaError, match="shard: a") as caught:
            decode()
        assert caught.value.reason == "corrupt"
