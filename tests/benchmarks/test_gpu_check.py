"""What `make gpu-check` does around its steps: limits, order, kept rows, the table."""

import json
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest


def row(backend: str, **values: object) -> dict:
    return {"op": "attention", "shape": "61", "backend": backend, **values}


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
    load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, ending: str, fails: bool
) -> None:
    """Unlike a benchmark, which has written its rows."""
    check = load("gpu_check")
    for told in ("require_gpu", "install_missing"):
        monkeypatch.setattr(check, told, lambda _: None)
    monkeypatch.setattr(check, "run", lambda *_: ending)
    (tmp_path / "manifest.csv").touch()
    monkeypatch.setattr(sys, "argv", ["gpu_check", name, "--real", str(tmp_path)])
    with pytest.raises(SystemExit) if fails else nullcontext():
        check.main()


def test_training_takes_the_footage_that_is_named_and_fails_at_once_without_any(
    load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = load("gpu_check")
    ran: list[tuple[str, ...]] = []
    for told in ("require_gpu", "install_missing"):
        monkeypatch.setattr(check, told, lambda _: None)
    monkeypatch.setattr(check, "run", lambda step, *_: ran.append(step.command) or "done in 1 s")
    monkeypatch.setattr(sys, "argv", ["gpu_check", "sync-tiny", "--real", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"no '.*manifest.csv' with the clips to train on: name their folder as REAL"):
        check.main()
    assert ran == []
    (tmp_path / "manifest.csv").touch()
    check.main()
    (command,) = ran
    assert command[command.index("--real") + 1] == str(tmp_path)


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file: a step reaches its limit as soon as it has made it, however long a busy machine takes."""
    path = tmp_path / "ready"

    class Popen(subprocess.Popen[bytes]):
        def wait(self, timeout: float | None = None) -> int:
            if timeout is None:
                return super().wait()
            while not path.exists():
                time.sleep(0.05)
            raise subprocess.TimeoutExpired(self.args, timeout)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    return path


def test_a_step_ends_when_all_that_it_started_has_ended(load, tmp_path: Path, ready: Path) -> None:
    """Training that a script has started writes its checkpoint, although the script is gone at once."""
    check = load("gpu_check")
    child = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        "    time.sleep(1)\n"
        f"    pathlib.Path({str(tmp_path / 'kept')!r}).write_text('checkpoint')\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(600)\n"
    )
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert check.run(check.Step("training", 0, ("-c", code)), sys.executable, 3) == "reached its limit of 3 s"
    assert (tmp_path / "kept").read_text() == "checkpoint"


def test_tests_that_reach_their_limit_say_what_they_found(load, tmp_path: Path, ready: Path) -> None:
    check = load("gpu_check")
    (tmp_path / "test_some.py").write_text(
        "import pathlib, time\n\ndef test_a():\n    assert 1 == 2\n\n"
        f"def test_b():\n    pathlib.Path({str(ready)!r}).touch()\n    time.sleep(600)\n"
    )
    code = f"import pytest, sys; sys.stdout = open({str(tmp_path / 'out')!r}, 'w'); pytest.main([{str(tmp_path)!r}])"
    step = replace(check.tests("test", 0, ""), command=("-c", code))
    assert check.run(step, sys.executable, 8) == "reached its limit of 8 s"
    assert "assert 1 == 2" in (tmp_path / "out").read_text()


def test_nothing_is_compiled_by_pytorch_before_the_rest_is_done(load) -> None:
    """Its compiler may need minutes: no benchmark and no test that needs it comes before the others."""
    check = load("gpu_check")
    default = [step for step in check.STEPS if not step.only_if_named]
    compiles = [any("compiled" in word and "not" not in word for word in step.command) for step in default]
    assert compiles == sorted(compiles)
    assert sum(compiles) == 3
    (chosen,) = [step.command[step.command.index("-k") + 1] for step in default if step.name == "test"]
    assert chosen == "not compiled"
    for path in (check.ROOT / "tests" / "gpu").glob("test_*.py"):
        parts = path.read_text().split("\ndef test_")[1:]
        compiling = [part for part in parts if "torch.compile(" in part or "compiled=True" in part]
        assert all("compiled" in part.partition("(")[0] for part in compiling), path


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


def test_the_commit_is_named_where_there_is_no_repository(
    load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = load("measure")
    monkeypatch.delenv("CAVSYNC_COMMIT", raising=False)
    monkeypatch.setattr(measure, "COMMIT_FILE", tmp_path / "COMMIT")
    (tmp_path / "COMMIT").write_text("abc1234\n")
    assert measure.commit() == "abc1234"
    monkeypatch.setenv("CAVSYNC_COMMIT", "def5678")
    assert measure.commit() == "def5678"


def test_a_run_is_handed_back_in_small_files(load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that an export reads, of the last checkpoint only, and nothing where no folder is named."""
    handing, run, out = load("hand_back"), tmp_path / "sync-tiny-run", tmp_path / "out"
    out.mkdir()
    for step in (9, 250):
        (run / "checkpoints" / f"step-{step}").mkdir(parents=True)
        for name in ("model.safetensors", "average.safetensors", "optimizer.pt", "state.json"):
            (run / "checkpoints" / f"step-{step}" / name).write_bytes(bytes([step]) * 1000)
    for name in ("config.json", "metrics.jsonl", ".lock"):
        (run / name).write_text(name)
    monkeypatch.delenv("OUT", raising=False)
    assert handing.hand_back(run) == []
    monkeypatch.setenv("OUT", str(out))
    monkeypatch.setattr(handing, "PIECE_BYTES", 3000)
    pieces = handing.hand_back(run)
    assert len(pieces) > 1
    assert all(path.parent == out and path.stat().st_size <= 3000 for path in pieces)
    subprocess.run(f"cat {out}/sync-tiny-run.tar.* | tar x -C {out}", shell=True, check=True)
    found = {str(path.relative_to(out / run.name)) for path in (out / run.name).rglob("*") if path.is_file()}
    kept = {f"checkpoints/step-250/{name}" for name in ("model.safetensors", "average.safetensors", "state.json")}
    assert found == {"config.json", "metrics.jsonl"} | kept
    assert (out / run.name / "checkpoints/step-250/average.safetensors").read_bytes() == bytes([250]) * 1000


def test_what_is_packed_is_installed_and_the_rest_is_named(
    load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """PyAV's wheel is most of a pack, and the steps of most worth do without it."""
    check = load("gpu_check")
    monkeypatch.setattr(check, "WHEELS", tmp_path)
    (tmp_path / "pydantic_core-2.50.4-cp312-cp312-manylinux2014_x86_64.whl").touch()
    monkeypatch.setattr(check, "missing", lambda *_: ["av", "pydantic_core"])
    ran: list[list[str]] = []
    monkeypatch.setattr(check.subprocess, "run", lambda command, **_: ran.append(command) or Mock(returncode=0))
    check.install_missing("python3")
    assert "lacks av: " in capsys.readouterr().out
    assert [command[-1] for command in ran] == ["pydantic-core"]


def test_recorded_steps_are_measured_without_readers_of_media(tmp_path: Path) -> None:
    (tmp_path / "av.py").write_text("raise ImportError('no PyAV here')")
    code = (
        "import cavsync.train.graphs.engine, cavsync.train.graphs.recorder, sys; assert 'torchaudio' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-P", "-c", code], env=environment, check=True)
