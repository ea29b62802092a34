"""A file that ends, hangs or fills its process costs itself only, and its verdict says why."""

from __future__ import annotations

import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from fake_bundle import write_fake_bundle
from ray_cluster import POISONS
from waiting import wait_until

from cavsync.deploy import Bundle, ScoringOptions, score_file
from cavsync.deploy.archive.rows import FileRows
from cavsync.deploy.archive.scoring_process import ScoringProcess
from cavsync.deploy.archive.setup import Setup, digest
from cavsync.deploy.archive.sources import Source
from cavsync.deploy.runtime.engine_keywords import EngineKeywords
from cavsync.deploy.sinks import objects_of
from cavsync.errors import BundleError, ConfigError


@pytest.fixture
def setup(bundle_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Setup:
    monkeypatch.setenv("PYTHONPATH", str(POISONS))
    # A busy machine takes any time for a file.
    engine: EngineKeywords = {"engine": "onnxruntime", "threads": 1}
    return Setup(bundle_path, digest(bundle.manifest), engine, ScoringOptions(), memory_mb=600, stall_seconds=600.0)


@pytest.fixture
def process(setup: Setup) -> Iterator[ScoringProcess]:
    process = ScoringProcess(setup)
    yield process
    process.close()


def poison(folder: Path, name: str) -> Source:
    path = folder / f"{name}.mkv"
    path.write_bytes(b"")
    return Source(str(path))


def kill_scoring() -> None:
    """Kill the scoring process of this one, which may have other children of other tests."""
    (child,) = (one for one in psutil.Process().children() if any("scoring_program" in word for word in one.cmdline()))
    child.kill()


def objects(rows: FileRows) -> list[dict[str, object]]:
    return [{"kind": "window", **row} for row in rows.windows]


def test_rows_are_those_of_score(process: ScoringProcess, clips: Path, bundle: Bundle) -> None:
    source = str(clips / "b.mkv")
    rows = process.score(Source(source))
    *windows, summary = objects_of(score_file(source, bundle))
    assert objects(rows) == windows
    assert rows.events == [{"source": source, **event} for event in summary["events"]]
    shared = rows.verdict.keys() & summary.keys() - {"path_share", "media", "versions"}
    assert {name: rows.verdict[name] for name in shared} == {name: summary[name] for name in shared}
    assert len(shared) > 20
    assert rows.verdict["size_bytes"] == Path(source).stat().st_size


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("crash", r"ends the process that scores it \(SIGSEGV\)"),
        ("memory", r"takes more than 600 MiB of memory"),
        ("defect", r"meets a defect \(TypeError: a list was expected in poisoned, line \d+\)"),
        ("empty", r"is empty"),
    ],
)
def test_a_poison_file_is_named_and_the_next_is_scored(
    process: ScoringProcess, clips: Path, tmp_path: Path, name: str, words: str
) -> None:
    rows = process.score(poison(tmp_path, name))
    assert rows.verdict["state"] == "failed"
    assert rows.error is not None
    assert (rows.error.startswith(str(tmp_path / f"{name}.mkv")), rows.windows) == (True, [])
    assert re.search(words, rows.error), rows.error
    assert process.score(Source(str(clips / "a.mkv"))).error is None


def test_a_file_that_hangs_is_named(setup: Setup, tmp_path: Path) -> None:
    process = ScoringProcess(replace(setup, stall_seconds=3.0))
    error = process.score(poison(tmp_path, "hang")).error
    process.close()
    assert error == (
        f"{tmp_path}/hang.mkv hangs: no progress for 3 s (--stall-seconds): convert the file, or leave it out"
    )


def test_a_file_that_waits_for_its_turn_does_not_hang(setup: Setup, clips: Path, tmp_path: Path) -> None:
    """Behind one that takes longer than a file may take without progress."""
    process = ScoringProcess(replace(setup, stall_seconds=4.0))
    slow = Source(str(shutil.copy(clips / "a.mkv", tmp_path / "slow.mkv")))
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(process.score, [slow, Source(str(clips / "b.mkv"))]))
    process.close()
    assert [rows.error for rows in found] == [None, None]


def test_a_file_that_waits_is_not_blamed(setup: Setup, clips: Path, tmp_path: Path) -> None:
    """The process ends before its turn: it is scored in the next one."""
    process = ScoringProcess(replace(setup, stall_seconds=3.0))
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(process.score, [poison(tmp_path, "hang"), Source(str(clips / "b.mkv"))]))
    process.close()
    assert [rows.error is None for rows in found] == [False, True]


def test_a_bundle_that_was_changed_is_refused(setup: Setup, tmp_path: Path, clips: Path) -> None:
    """Also by a process that takes the place of another."""
    folder = shutil.copytree(setup.bundle, tmp_path / "bundle")
    process = ScoringProcess(replace(setup, bundle=folder))
    process.open()
    shutil.rmtree(folder)
    write_fake_bundle(folder, threshold=0.4)
    kill_scoring()
    with pytest.raises(BundleError, match="was changed while the archive was scored"):
        process.score(Source(str(clips / "a.mkv")))


def test_only_the_culprit_of_several_fails(setup: Setup, clips: Path, tmp_path: Path) -> None:
    process = ScoringProcess(replace(setup, streams=3))
    copies = [Source(str(shutil.copy(clips / "a.mkv", tmp_path / f"copy{number}.mkv"))) for number in range(6)]
    mixed = [copies[0], poison(tmp_path, "memory"), *copies[1:3], poison(tmp_path, "crash"), *copies[3:]]
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(process.score, mixed))
    process.close()
    assert [Path(rows.source).stem for rows in found if rows.error is not None] == ["memory", "crash"]


def test_a_process_that_others_end_costs_no_file(process: ScoringProcess, clips: Path) -> None:
    process.open()
    kill_scoring()
    assert process.score(Source(str(clips / "a.mkv"))).error is None


def test_the_process_ends_with_the_worker(setup: Setup) -> None:
    code = (
        "import os, pickle, psutil, sys, time; from cavsync.deploy.archive.scoring_process import ScoringProcess; "
        "process = ScoringProcess(pickle.loads(bytes.fromhex(sys.argv[1]))); process.open(); "
        "print(psutil.Process().children()[0].pid, flush=True); os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-P", "-c", code, pickle.dumps(setup).hex()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_until(lambda: not psutil.pid_exists(int(done.stdout)))


def test_a_bundle_that_cannot_be_opened_is_an_error_of_all_files(setup: Setup, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nothing"):
        ScoringProcess(replace(setup, bundle=tmp_path / "nothing")).open()
    with pytest.raises(ConfigError, match="unheard-of"):
        ScoringProcess(replace(setup, engine={"engine": "unheard-of"})).open()
