"""What the benchmark of a training step does besides timing: operations, rows of all variants, targets."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from fake_graphs import FakeRecorder


def test_operations_of_the_published_step(load) -> None:
    """The plain forward, which embeds all 208 and 196 patches, was counted at 45.3 GFLOP a pair."""
    step = load("train_step")
    never_kept = (208 - 52) + 3 * (196 - 49)
    plain = step.forward_flops(step.CAV_MAE_SYNC) + 2 * 768 * 256 * never_kept
    assert plain / 1e9 == pytest.approx(45.3, abs=0.05)


@pytest.fixture
def step_rows(load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[dict]]]:
    """Runs the benchmark of a step on the CPU with more options; returns the rows that it wrote."""
    step = load("train_step")
    monkeypatch.setattr(step, "RESULTS", tmp_path / "train_step.jsonl")
    monkeypatch.setattr(step.measure, "matrix_peak_flops", lambda *_: 1e12)
    before = signal.getsignal(signal.SIGTERM)

    def rows(*options: str) -> list[dict]:
        words = ["train_step", "--device", "cpu", "--model", "small", "--batch", "2", "--turns", "2", *options]
        monkeypatch.setattr(sys, "argv", words)
        step.main()
        return [json.loads(line) for line in step.RESULTS.read_text().splitlines()]

    yield rows
    signal.signal(signal.SIGTERM, before)


def patched_turn(step: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str, action: Callable[[], None]) -> None:
    """Every step of the variant of this name begins with an action."""
    timed = step.Variant._timed

    def changed(self, fbank, frames) -> float:
        if self.name == name:
            action()
        return timed(self, fbank, frames)

    monkeypatch.setattr(step.Variant, "_timed", changed)


def test_a_step_benchmark_that_is_ended_keeps_its_rows(
    step_rows, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM in the middle: what was measured until then is reported and written, and nothing else.

    The first step of the variant that was ended is one, in which kernels are compiled.
    """
    step, seen = sys.modules["benchmark_train_step"], []

    def ended() -> None:
        seen.append(1)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    patched_turn(step, monkeypatch, "plain", ended)
    (row,) = step_rows()
    assert row["variant"] == "packed"
    assert row["p50_ms"] > 0
    assert "packed" in capsys.readouterr().out


def test_a_variant_that_breaks_is_a_row(step_rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others keep theirs, whatever the error was."""
    step = sys.modules["benchmark_train_step"]

    def broken() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with TORCH_USE_CUDA_DSA")

    patched_turn(step, monkeypatch, "plain", broken)
    rows = step_rows()
    assert [row["variant"] for row in rows] == ["packed", "plain", "plain, written out"]
    assert rows[1]["failure"] == "RuntimeError: CUDA error: an illegal memory access was encountered"
    assert all(rows[place]["p50_ms"] > 0 for place in (0, 2))


def test_a_recorded_step_is_timed(step_rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a recorder that needs no GPU: the same model as the packed step, and both get a row."""
    recorder = FakeRecorder()
    monkeypatch.setattr("cavsync.train.graphs.recorder.CudaRecorder", lambda: recorder)
    rows = step_rows("--recorded")
    assert [row["variant"] for row in rows] == ["packed", "packed, recorded"]
    assert recorder.recorded == 2
    assert recorder.replays


def test_a_step_that_was_not_recorded_has_no_time(step_rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on in a training, but would be measured under a wrong name here."""
    recorder = FakeRecorder("operation not permitted when stream is capturing")
    monkeypatch.setattr("cavsync.train.graphs.recorder.CudaRecorder", lambda: recorder)
    packed, recorded = step_rows("--recorded")
    assert packed["p50_ms"] > 0
    assert "recording failed: operation not permitted" in recorded["failure"]
    assert "p50_ms" not in recorded


def test_a_variant_that_cannot_be_made_is_a_row(step_rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    packed, recorded = step_rows("--recorded")
    assert packed["p50_ms"] > 0
    assert recorded["variant"] == "packed, recorded"
    assert "lightning_fabric" in recorded["failure"]


def test_the_fastest_step_is_compared_with_the_targets(load) -> None:
    """Rows of two runs together: 45 % of the peak, 2.5 times attention written out, 1.6 times the library's."""
    found = {"benchmark": "train_step", "model": "cav-mae-sync-base", "cuda": "13.0"}
    times = {"packed": 150.0, "plain": 171.0, "plain, written out": 332.0, "packed, recorded": 100.0}
    rows = [found | {"variant": name, "p50_ms": ms, "share_of_peak": 44 / ms} for name, ms in times.items()]
    rows += [{"benchmark": "kernels", "p50_ms": 1.0}, found | {"variant": "packed, compiled", "failure": "broke"}]
    assert load("measure").step_verdicts(rows) == [
        "packed, recorded is 1.71 times as fast as plain, target 1.6: met",
        "packed, recorded is 3.32 times as fast as plain, written out, target 2.5: met",
        "share of the matrix peak 44%, target 45%: missed",
    ]
