"""What the GPU benchmarks do besides timing: operations of a step, percentiles, verdicts, limits, kept rows."""

import json
import os
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from fake_bundle import write_fake_bundle
from fake_graphs import FakeRecorder

from cavsync.kernels import Segments, attention


def row(backend: str, **values: object) -> dict:
    return {"op": "attention", "shape": "61", "backend": backend, **values}


def test_operations_of_the_published_step(load) -> None:
    """The plain forward, which embeds all 208 and 196 patches, was counted at 45.3 GFLOP a pair."""
    step = load("train_step")
    never_kept = (208 - 52) + 3 * (196 - 49)
    plain = step.forward_flops(step.CAV_MAE_SYNC) + 2 * 768 * 256 * never_kept
    assert plain / 1e9 == pytest.approx(45.3, abs=0.05)


def test_quantiles(load) -> None:
    times = np.random.default_rng(0).exponential(size=51)
    found = load("measure").quantiles(times)
    np.testing.assert_allclose(list(found.values()), np.quantile(times, [0.2, 0.5, 0.8]), atol=1e-4)
    assert set(load("measure").quantiles([3.0]).values()) == {3.0}


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ([row("triton", p50_ms=1.0), row("torch", p50_ms=2.0)], "default holds: attention 61: triton, best triton"),
        ([row("triton", p50_ms=1.02), row("torch", p50_ms=1.0)], "default holds: attention 61: triton, best torch"),
        ([row("triton", p50_ms=2.0), row("torch", p50_ms=1.0)], "default lost: attention 61: triton, best torch"),
        (
            [row("triton", p50_ms=2.0), row("torch", failure="broke")],
            "default holds: attention 61: triton, best triton",
        ),
        ([row("triton", failure="broke"), row("torch", p50_ms=1.0)], "default failed: attention 61: triton, broke"),
    ],
)
def test_verdict(load, group: list[dict], expected: str) -> None:
    assert load("kernels").verdict(group).startswith(expected)


def test_a_backend_that_breaks_is_a_row(load, monkeypatch: pytest.MonkeyPatch) -> None:
    """It neither ends the benchmark nor leaves its place as the default to the next backend."""
    kernels = load("kernels")

    def broken(case: object, backend: str, options: object) -> dict:
        if backend == "torch":
            raise RuntimeError("an illegal memory access")
        return {"p50_ms": 1.0}

    monkeypatch.setattr(kernels, "measured", broken)
    options = kernels.argparse.Namespace(device="cpu", only_compiled=False, no_save=True)
    case = kernels.Case("attention", "61", list, list, 0.0, 0.0)
    group = [*kernels.rows(case, {"commit": "unknown"}, options)]
    assert [item["backend"] for item in group] == ["torch", "reference"]
    assert "illegal memory access" in group[0]["failure"]
    assert kernels.verdict(group).startswith("default failed")


def test_a_step_that_reaches_its_limit_is_asked_to_end(load, tmp_path: Path) -> None:
    """It keeps what it has, and its children end with it."""
    check = load("gpu_check")
    code = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        f"    pathlib.Path({str(tmp_path / 'kept')!r}).write_text('rows')\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "time.sleep(600)\n"
    )
    assert check.run(check.Step("long", 0, ("-c", code)), sys.executable, 3) == "reached its limit of 3 s"
    assert (tmp_path / "kept").read_text() == "rows"
    assert check.run(check.Step("short", 0, ("-c", "pass")), sys.executable, 60).startswith("done in")
    failing = check.Step("bad", 0, ("-c", "raise SystemExit(3)"))
    assert check.run(failing, sys.executable, 60).startswith("failed with status 3")


@pytest.mark.parametrize(
    ("name", "ending", "fails"),
    [
        ("step", "reached its limit of 90 s", False),
        ("step", "failed with status 1 in 2 s", True),
        ("sync-tiny", "reached its limit of 480 s", True),
        ("sync-tiny", "done in 400 s", False),
    ],
)
def test_training_that_reached_its_limit_has_failed(
    load, monkeypatch: pytest.MonkeyPatch, name: str, ending: str, fails: bool
) -> None:
    """Unlike a benchmark, which has written its rows."""
    check = load("gpu_check")
    for told in ("require_gpu", "install_missing"):
        monkeypatch.setattr(check, told, lambda _: None)
    monkeypatch.setattr(check, "run", lambda *_: ending)
    monkeypatch.setattr(sys, "argv", ["gpu_check", name])
    with pytest.raises(SystemExit) if fails else nullcontext():
        check.main()


def test_the_table_has_the_rows_of_this_run(load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = load("gpu_check")
    monkeypatch.setattr(check, "RESULTS", tmp_path)
    (tmp_path / "kernels.jsonl").write_text(json.dumps(row("old", p50_ms=9.0)) + "\n")
    before = check.sizes()
    with (tmp_path / "kernels.jsonl").open("a") as file:
        file.write(json.dumps(row("triton", p50_ms=0.25)) + "\n" + json.dumps(row("torch", failure="broke")) + "\n")
    step = {"variant": "packed", "p50_ms": 140.0, "share_of_peak": 0.31}
    (tmp_path / "train_step.jsonl").write_text(json.dumps(step) + "\n")
    lines = check.table(check.new_rows(before), {"test": "done in 3 s"}).splitlines()
    assert [line.split()[0] for line in lines] == ["attention", "attention", "packed", "test:"]
    assert "0.250 ms" in lines[0]
    assert "broke" in lines[1]
    assert "31.0% of the peak" in lines[2]


def test_a_step_benchmark_that_is_ended_keeps_its_rows(
    load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM in the middle: what was measured until then is reported and written, and nothing else."""
    step = load("train_step")
    monkeypatch.setattr(step, "RESULTS", tmp_path / "train_step.jsonl")
    monkeypatch.setattr(step.measure, "matrix_peak_flops", lambda *_: 1e12)
    monkeypatch.setattr(sys, "argv", ["train_step", "--device", "cpu", "--model", "small", "--batch", "1"])
    turn = step.Variant.turn

    def ended(self, fbank, frames, repeats: int) -> None:
        if self.name == "plain":
            os.kill(os.getpid(), signal.SIGTERM)
        turn(self, fbank, frames, repeats)

    monkeypatch.setattr(step.Variant, "turn", ended)
    before = signal.getsignal(signal.SIGTERM)
    try:
        step.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    kept = [json.loads(line) for line in (tmp_path / "train_step.jsonl").read_text().splitlines()]
    assert [item["variant"] for item in kept] == ["packed"]
    assert kept[0]["p50_ms"] > 0
    assert "packed" in capsys.readouterr().out


def test_a_recorded_step_is_timed(load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a recorder that needs no GPU: the same model as the packed step, and both get a row."""
    step = load("train_step")
    recorder = FakeRecorder()
    monkeypatch.setattr("cavsync.train.graphs.recorder.CudaRecorder", lambda: recorder)
    monkeypatch.setattr(step, "RESULTS", tmp_path / "train_step.jsonl")
    monkeypatch.setattr(step.measure, "matrix_peak_flops", lambda *_: 1e12)
    words = ["train_step", "--device", "cpu", "--model", "small", "--batch", "2", "--recorded", "--turns", "2"]
    monkeypatch.setattr(sys, "argv", words)
    before = signal.getsignal(signal.SIGTERM)
    try:
        step.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    kept = [json.loads(line) for line in (tmp_path / "train_step.jsonl").read_text().splitlines()]
    assert [item["variant"] for item in kept] == ["packed", "packed, recorded"]
    assert recorder.recorded == 2
    assert recorder.replays


def test_streams_are_counted_in_both_ways(load, tmp_path: Path) -> None:
    """A small model in PyTorch, a bundle in ONNX Runtime: batches, the streams asked for, the most that were held."""
    bundle, results = write_fake_bundle(tmp_path / "bundle"), tmp_path / "rows.jsonl"
    words = ["--device", "cpu", "--model", "small", "--bundle", str(bundle), "--results", str(results)]
    words += ["--batches", "1", "3", "--repeats", "1", "--max-batch", "4", "--streams", "1", "3"]
    words += ["--seconds", "1", "--pairs-per-second", "4", "--late-seconds", "120"]
    load("gpu_streams").main(words)
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    for way in ("torch", "onnxruntime"):
        found = [item for item in rows if item["way"] == way]
        assert [item["variant"].removeprefix(f"{way}, ") for item in found] == [
            *("batch 1", "batch 3", "1 streams", "3 streams", "most streams held: 3"),
        ]
        assert all(item["p50_ms"] > 0 for item in found)


def test_a_way_that_cannot_be_opened_is_a_row(load, tmp_path: Path) -> None:
    results = tmp_path / "rows.jsonl"
    words = ["--device", "cpu", "--ways", "onnxruntime", "--bundle", str(tmp_path / "none"), "--results", str(results)]
    load("gpu_streams").main(words)
    (row,) = [json.loads(line) for line in results.read_text().splitlines()]
    assert row["variant"] == "onnxruntime, not measured"
    assert "none" in row["failure"]


def test_late_pairs_are_not_held(load) -> None:
    """An engine that takes 30 ms a pair holds fewer than 20 streams of 4 pairs a second within 0.2 s."""
    streams = load("gpu_streams")

    class Slow:
        def run(self, values: np.ndarray, output: str) -> np.ndarray:
            time.sleep(0.03)
            return np.zeros((len(values), 2), np.float32)

    nothing = None
    bundle = streams.Bundle(Path(), nothing, nothing, Slow(), Slow(), 2)
    options = streams.argparse.Namespace(pairs_per_second=4.0, seconds=1.0, late_seconds=0.2)
    with streams.EnginePool(bundle, max_batch=1, deadline_ms=0.0) as pool:
        found = streams.trial(pool, (bundle, np.zeros((1, 2), np.float32), np.zeros((1, 2), np.uint8)), 20, options)
    assert not found["held"]
    assert found["p99_ms"] >= 200


def test_the_search_for_streams_stays_below_its_limit(load) -> None:
    found = load("live_streams").most_streams(lambda number: {"streams": number, "held": True}, 3, 10)
    assert [trial["streams"] for trial in found] == [3, 6]


def test_the_traffic_of_attention_is_counted(load) -> None:
    """One sequence of 5 tokens, 2 heads of 16: everything is read and written once, masked elements are not."""
    traffic = load("kernel_traffic")
    qkv = [traffic.torch.randn(5, 3, 2, 16).bfloat16()]
    case = traffic.Case("attention", "small", lambda: qkv, lambda x: attention(x, Segments(((1, 5),))), 0.0, 0.0)
    found = traffic.traffic_of(case)
    tokens, row, sums, table = 5, 2 * 16 * 2, 5 * 2 * 4, 2 * 4
    # Forward: qkv, the row of the table; result and denominators. Backward: those and the gradient of the result.
    assert found["short_forward"].least() == tokens * 4 * row + sums + table
    assert found["short_backward"].least() == tokens * 8 * row + sums + table
    # Both heads read the table.
    assert found["short_forward"].moved() == found["short_forward"].least() + table
