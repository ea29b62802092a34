"""A full disk is one sentence that says how to continue, whatever was being written, and nothing is lost by it."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cavsync.cli import archive as command
from cavsync.deploy import Bundle, ScoringOptions
from cavsync.deploy.archive.data_set import data_set
from cavsync.deploy.archive.rows import FileRows
from cavsync.deploy.archive.setup import Setup, digest, packed
from cavsync.deploy.archive.sources import Source
from cavsync.deploy.archive.storage import Version, opened
from cavsync.deploy.archive.tables import TABLES
from cavsync.deploy.archive.worker import Worker
from cavsync.errors import DataError, MediaError

SETTINGS: dict[str, Any] = {
    "version of cavsync": "1",
    "bundle": {"name": "b", "precision": "fp32", "sha256": "00"},
    "--engine": "onnxruntime",
}
SOURCES = [Source(f"/clips/{number}.mkv", Version(number, "t")) for number in range(4)]
# archive.json, a part of three tables, the note, three tables written again, another part; each and its folder.
NUM_WRITES = 2 * (1 + 3 + 1 + 3 + 3)
FULL = r"cannot be written \(No space left on device\): free some space and continue with --resume"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"only root may mount a small disk: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    return ballast


def rows(source: Source) -> FileRows:
    verdict = {"source": source.row_name, "size_bytes": source.version.size_bytes, "etag": "t", "state": "in_sync"}
    return FileRows(verdict, [{"source": source.row_name}], [{"source": source.row_name}])


def score(out: Path, sources: list[Source]) -> None:
    with data_set(out, "SRC", SETTINGS, resume=True) as data:
        for source in data.wanted(sources):
            data.add(rows(source))


def names(out: Path) -> list[Counter[str]]:
    return [Counter(pq.read_table(out / table).column("source").to_pylist()) for table in TABLES]


def test_a_disk_that_is_full_from_the_start(disk: Path) -> None:
    out = disk / "out"
    out.mkdir()
    ballast = fill(disk)
    with pytest.raises(DataError, match=FULL):
        score(out, SOURCES)
    ballast.unlink()
    score(out, SOURCES)
    assert names(out) == [Counter(source.name for source in SOURCES)] * 3


def test_a_disk_that_fills_before_a_part(disk: Path) -> None:
    out = disk / "out"
    score(out, SOURCES[:2])
    ballast = fill(disk)
    with pytest.raises(DataError, match=FULL):
        score(out, SOURCES)
    assert names(out) == [Counter(source.name for source in SOURCES[:2])] * 3
    ballast.unlink()
    score(out, SOURCES)
    assert names(out) == [Counter(source.name for source in SOURCES)] * 3


class _Full:
    """The system has no room for the `number`-th file that is brought to the disk."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.plain = os.fsync

    def __call__(self, descriptor: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.plain(descriptor)


def test_whichever_file_finds_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """archive.json, each table, the note of what is taken out: each write in turn, until none is left."""
    changed = [Source(source.name, Version(99, "t")) for source in SOURCES[:2]] + SOURCES[2:]
    for number in range(1, NUM_WRITES + 2):
        out = tmp_path / f"out{number}"
        full = _Full(number)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            is_full = pytest.raises(DataError, match="continue with") if number <= NUM_WRITES else nullcontext()
            with is_full:
                score(out, SOURCES)
                score(out, changed)
        score(out, changed)
        assert names(out) == [Counter(source.name for source in SOURCES)] * 3
    assert full.left > 0


def test_no_room_for_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with data_set(tmp_path / "out", "SRC", SETTINGS, resume=True) as data:
        data.add(rows(SOURCES[0]))
        data.flush()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", _Full(1))
            with pytest.raises(DataError, match=FULL):
                command._finish(data)
        assert not (tmp_path / "out" / "report.html").exists()
        command._finish(data)
        assert (tmp_path / "out" / "report.html").exists()


def test_a_worker_without_room_for_the_bundle(
    disk: Path, bundle_path: Path, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine does not have the bundle, and no space for the one that was sent."""
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    fill(disk)
    setup = Setup(tmp_path / "nowhere", digest(bundle.manifest), {"engine": "onnxruntime"}, ScoringOptions())
    refusal = Worker(setup, packed(bundle_path)).open()
    assert refusal is not None
    assert "cannot open the bundle (No space left on device): free space in" in refusal.message
    assert not refusal.is_config
    assert not list(disk.glob("cavsync-bundle-*"))


def test_a_worker_without_room_for_a_file_of_a_store(
    disk: Path, web: str, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fsspec", reason="archives need the extra 'ray'")
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    fill(disk)
    words = rf"a\.mkv does not fit into {disk} \(No space left on device\)"
    with pytest.raises(MediaError, match=words), opened(f"{web}/a.mkv", lambda: None):
        pass
