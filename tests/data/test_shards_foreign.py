"""Shards of other tools: read as they are, and refused sample by sample where something is missing."""

import io
import tarfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated_clips import make_clips
from hypothesis import given, settings
from hypothesis import strategies as st
from opened_shards import FRAMES, make_foreign, opened, reasons, use_all
from PIL import Image

from cavsync.data.clip import load_clip
from cavsync.data.shards import is_shard_folder
from cavsync.data.shards.flac import decode_flac
from cavsync.data.shards.jpeg import decode_jpeg, encode_jpeg
from cavsync.errors import MediaError
from cavsync.media import resize_center_crop


def test_foreign_shards(tmp_path: Path) -> None:
    """WebDataset's own writer makes shards that can be read; a manifest of another kind is skipped."""
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


def test_large_frames_are_decoded_small(tmp_path: Path) -> None:
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
def test_foreign_audio(rate: int, stereo: bool) -> None:
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
