"""Damaged shards: every clip is read or named, with the index and without, and the manifest too."""

from __future__ import annotations

import shutil
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import pytest
from fuzzing import damaged, fuzz
from generated_clips import make_clips
from hypothesis import strategies as st
from opened_shards import FRAMES, opened

from cavsync.data.shards import PackOptions
from cavsync.data.shards.pack import pack
from cavsync.errors import CavsyncError, MediaError

NAMES = ("shard-000000.tar", "shard-000000.idx", "manifest.json")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    make_clips(folder, 2, size=(96, 64), fps=Fraction(10), container="mp4")
    out = tmp_path_factory.mktemp("pack")
    pack(folder, out, PackOptions(frames=FRAMES, shard_clips=2), workers=1)
    return out


def test_shards(pristine: Path, tmp_path: Path) -> None:
    """One file damaged at a time; without the other two, nothing else tells what should be there."""
    contents = {name: (pristine / name).read_bytes() for name in NAMES}

    def use(case: tuple[str, bytes, bool]) -> None:
        name, data, is_alone = case
        folder = tmp_path / "shards"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for other, content in contents.items():
            if not is_alone or other == NAMES[0]:
                (folder / other).write_bytes(content)
        (folder / name).write_bytes(data)
        with suppress(CavsyncError):
            source = opened(folder)
            _ = source.shard_of
            for index, _ in enumerate(source.names):
                source.labels(index)
                with suppress(MediaError):
                    clip = source.load(index, 32)
                    for frame in range(len(clip.frames)):
                        _ = clip.frames[[frame]]

    cases = [st.tuples(st.just(name), damaged([contents[name]]), st.booleans()) for name in NAMES]
    fuzz("shards", use, st.one_of(cases), examples=60)
