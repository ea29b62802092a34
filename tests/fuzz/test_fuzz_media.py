"""Damaged media: read, or refused in a sentence; the same for copies without the offset."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import pytest
from coded_clips import write_coded_clip
from fuzzing import damaged, fuzz
from sync_clips import write_clip

from cavsync.deploy.repair.fix import fix_file
from cavsync.errors import MediaError
from cavsync.media import MediaReader

ENDINGS = {
    "mp4": ("libx264", "aac"),
    "mov": ("libx264", "pcm_s16le"),
    "mkv": ("libx264", "aac"),
    "webm": ("libvpx", "libopus"),
    "ts": ("libx264", "aac"),
    "avi": ("mpeg4", "mp2"),
    "flv": ("flv", "aac"),
    "mpg": ("mpeg2video", "mp2"),
    "mxf": ("mpeg2video", "pcm_s16le"),
    "nut": ("ffv1", "flac"),
    "asf": ("mpeg4", "mp2"),
    "ogg": ("libtheora", "libvorbis"),
}


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("whole")
    clips = [write_clip(folder / "a.mkv", seconds=0.4)]
    for ending, codecs in ENDINGS.items():
        # FFmpeg is built without some of them here and there.
        with suppress(Exception):
            clips.append(write_coded_clip(folder / f"clip.{ending}", seconds=0.6, codecs=codecs))
    assert len(clips) > 8
    return [clip.read_bytes() for clip in clips]


def read(data: bytes) -> None:
    with suppress(MediaError), MediaReader("a.mp4", file=io.BytesIO(data), video_threads=1) as reader:
        for _ in reader:
            pass


def test_uploads(wholes: list[bytes]) -> None:
    fuzz("media", read, damaged(wholes), examples=40)


def test_copies(wholes: list[bytes], tmp_path: Path) -> None:
    source = tmp_path / "in.bin"

    def copy(data: bytes) -> None:
        source.write_bytes(data)
        for ending in ("mkv", "mp4"):
            with suppress(MediaError):
                fix_file(source, tmp_path / f"out.{ending}", 80.0, overwrite=True)

    fuzz("copies", copy, damaged(wholes, most=3), examples=20)
