"""A batch of `cavsync score` that is killed again and again loses nothing and scores nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from killed_batch import __file__ as SCRIPT
from killed_batch import begun
from sync_clips import write_clip
from waiting import PATIENCE_SECONDS

NUM_CLIPS = 3


def many_files(folder: Path, num_files: int) -> list[str]:
    """Fill the folder with links to a few short clips and return their paths."""
    folder.mkdir()
    clips = [
        write_clip(folder / f"clip{seed}.mkv", seconds=2.5, audio_offset_ms=100.0 * seed, frame_rate=12, seed=seed)
        for seed in range(NUM_CLIPS)
    ]
    for number in range(num_files - NUM_CLIPS):
        (folder / f"link{number:03d}.mkv").hardlink_to(clips[number % NUM_CLIPS])
    return sorted(str(path) for path in folder.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(("num_files", "kills"), [(18, 2), pytest.param(300, 10, marks=pytest.mark.slow)])
def test_nothing_is_lost_and_nothing_scored_twice(
    bundle_path: Path, tmp_path: Path, number: signal.Signals, num_files: int, kills: int
) -> None:
    sources = many_files(tmp_path / "clips", num_files)
    (tmp_path / "logs").mkdir()
    out = tmp_path / "scores.jsonl"
    arguments = [tmp_path / "clips", "--bundle", bundle_path, "--json", out, "--resume", "--threads", 1]
    most_files = num_files // (kills + 1)
    command = [sys.executable, SCRIPT, tmp_path / "logs", number.value, kills, most_files, *arguments]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=PATIENCE_SECONDS * 10
    )
    assert done.returncode == 0, done.stderr
    *killed, last = map(int, done.stdout.split())
    ended = os.WEXITSTATUS if number == signal.SIGTERM else os.WTERMSIG
    assert [ended(status) for status in killed] == [143 if number == signal.SIGTERM else 9] * kills
    assert last == 0, done.stderr
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert sorted(line["source"] for line in lines if line["kind"] == "summary") == sources
    counts = Counter(line["source"] for line in lines if line["kind"] == "window")
    assert set(counts) == set(sources)
    assert len(set(counts.values())) == 1
    _require_once([begun(path) for path in sorted((tmp_path / "logs").iterdir())], sources)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "logs", "scores.jsonl"]


def _require_once(runs: list[list[str]], sources: list[str]) -> None:
    """A file whose successor began was scored and kept, so no later run begins it again."""
    kept: set[str] = set()
    for begins in runs:
        assert not kept & set(begins)
        kept |= set(begins[:-1])
    assert sum(map(len, runs)) <= len(sources) + len(runs) - 1
    assert set().union(*runs) == set(sources)
