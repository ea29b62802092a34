"""The benchmarks of scoring run in a tiny setting, and what they compute besides times is right."""

from __future__ import annotations

import json
import mmap
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported import exported, lively_model
from fake_bundle import write_fake_bundle
from fake_clock import FakeClock

from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.runtime.default_bundle import default_bundle

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PROVENANCE = {"device", "commit", "date", "onnxruntime"}


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_real_time(load, tmp_path: Path) -> None:
    results = tmp_path / "rows.jsonl"
    sizes = ["--size", "64", "64", "--clip-seconds", "4", "--seconds", "4", "--turns", "1"]
    load("real_time").main(["--models", "sync-tiny", *sizes, "--results", str(results)])
    decoded, file = rows_of(results)
    assert (decoded["source"], file["source"]) == ("decoded", "file")
    assert file["media_seconds"] == pytest.approx(4, abs=0.1)
    assert 40 < file["peak_memory_mb"] < 1000
    for row in (decoded, file):
        assert row.keys() > PROVENANCE
        ratio = row["seconds"] / row["media_seconds"]
        assert row["seconds_per_media_second"] == pytest.approx(ratio, abs=0.005)


@pytest.mark.slow
def test_live_streams(tmp_path: Path) -> None:
    """Run as a program, since its child processes import it by its name."""
    results = tmp_path / "rows.jsonl"
    options = ["--seconds", "7", "--clip-seconds", "3", "--streams", "2", "--late-seconds", "5", "--path", "whole"]
    subprocess.run([sys.executable, BENCHMARKS / "live_streams.py", *options, "--results", results], check=True)
    rows = rows_of(results)
    assert [row["way"] for row in rows] == ["plain", "pool", "processes"]
    _, pool, processes = rows
    assert pool["streams_per_batch"] >= 1
    assert processes["processes"] >= 1
    for row in rows:
        assert row.keys() > PROVENANCE
        assert row["decisions"] + row["missing"] >= 2
        assert 0 <= row["p50_ms"] <= row["p99_ms"]


def test_a_child_process_that_dies_ends_the_trial(load) -> None:
    """A module that was loaded under a name of its own cannot be imported by a child process."""
    live = load("live_streams")
    with pytest.raises(SystemExit, match="ended before it was ready"):
        live.Process(live.Load(None, None, 1.0), 1)


def test_the_last_sample_that_a_decision_needs(load) -> None:
    """A decision comes once that sample is there and not before, but for the frames that are embedded together."""
    live, material = load("live_streams"), load("material")
    scorer = SyncScorer(Bundle.open(default_bundle(), threads=1), max_offset_ms=800.0)
    clip = material.material(2.0, 64, 64)
    pushed = {}
    for index in range(6 * 25):
        for decision in clip.push(scorer, index):
            pushed[decision.time_seconds] = (index + 1) / 25
    assert len(pushed) >= 3
    for end_seconds, came_seconds in pushed.items():
        # Last frame of the window, 0.8 s, half of 47 hops of 10 ms and one of 25 ms.
        needed = max(k / 25 for k in range(150) if k / 25 < end_seconds - 1e-6) + 0.8 + 0.2475
        assert live.needed_seconds(scorer, end_seconds) == pytest.approx(needed)
        assert came_seconds >= needed


def test_a_stream_that_is_held_up_is_late_by_as_much(load, monkeypatch: pytest.MonkeyPatch) -> None:
    live, material = load("live_streams"), load("material")
    clock = FakeClock()
    monkeypatch.setattr(live, "time", clock)

    class Waiting(threading.Event):
        """An event that nobody sets; waiting for it passes on the fake clock."""

        def wait(self, timeout: float | None = None) -> bool:
            clock.advance(timeout or 0.0)
            return False

    class Slow:
        """A scorer that takes 0.2 s for every frame and decides at once."""

        bundle = Bundle.open(default_bundle(), threads=1)
        max_offset_ms = 0.0

        def push_video(self, frame: np.ndarray, *, pts_seconds: float) -> list[Any]:
            clock.advance(0.2)
            return []

        def push_audio(self, samples: np.ndarray, *, pts_seconds: float, sample_rate_hz: int) -> list[Any]:
            return [type("Decision", (), {"time_seconds": pts_seconds + 0.04})]

    clip = material.material(1.0, 64, 64)
    latencies = np.array(live.play(Slow(), clip, clock.now_seconds, 0.4, Waiting()))
    # 200 ms of work for 40 ms of media; the stream is given up once it is later than it is long.
    assert np.diff(latencies) == pytest.approx([0.16, 0.16])


@pytest.mark.parametrize(("first", "capacity"), [(4, 37), (1, 0), (8, 3), (2, 2), (4, 64)])
def test_the_search_finds_the_capacity(load, first: int, capacity: int) -> None:
    trials = load("live_streams").most_streams(lambda n: {"streams": n, "held": n <= capacity}, first)
    held = max((trial["streams"] for trial in trials if trial["held"]), default=0)
    assert capacity - max(1, held // 12) < held <= capacity or held == capacity


def test_memory(load, tmp_path: Path) -> None:
    results = tmp_path / "rows.jsonl"
    memory = load("memory")
    bundle = write_fake_bundle(tmp_path / "bundle")
    memory.main(["--minutes", "2", "--clip-seconds", "2", "--bundle", str(bundle), "--results", str(results)])
    (row,) = rows_of(results)
    assert len(row["resident_mb"]) == 2
    assert row["decisions"] > 200
    assert row["is_flat"] == (row["mb_per_hour"] <= row["most_mb_per_hour"])
    minutes = np.arange(60.0)
    assert memory.slope_mb_per_hour(minutes, 100 + minutes / 4) == pytest.approx(15)


def test_memory_in_use_is_what_the_system_says(load) -> None:
    measure = load("measure")
    before = measure.memory_mb("VmRSS")
    block = mmap.mmap(-1, 50 * 2**20)
    np.frombuffer(block, dtype=np.uint8)[:] = 1
    assert measure.memory_mb("VmRSS") - before == pytest.approx(50, abs=5)
    assert measure.memory_mb("VmHWM") >= before + 45
    del block


@pytest.mark.slow
def test_the_plain_way_finds_the_same_similarities(load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load("plain_way")
    monkeypatch.setattr(plain.random_models, "random_bundle", lambda *_: exported("fp32"))
    monkeypatch.setattr(plain.random_models, "random_model", lambda _: lively_model())
    results = tmp_path / "rows.jsonl"
    options = ["--models", "sync-tiny", "--seconds", "9", "--windows", "2", "--clip-seconds", "3"]
    plain.main([*options, "--results", str(results)])
    (row,) = rows_of(results)
    assert row["spread"] > 0.1
    assert row["largest_difference"] < 1e-4
    assert row["times"] == pytest.approx(row["plain_seconds_per_window"] / row["scorer_seconds_per_window"], rel=0.2)
