"""The command line: help without heavy imports, one sentence per error, the line from clips to score."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from generated_clips import make_clips

from cavsync.cli.main import main
from cavsync.data.parallel import map_clips
from cavsync.run import RunFolder


def test_help_loads_nothing_heavy() -> None:
    """`cavsync --help` answers without torch or ONNX Runtime."""
    code = (
        "import sys\nfrom cavsync.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'onnxruntime', 'av', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_begins_with_what_most_people_look_for() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    names = re.findall(r"^  (\w+)  +[A-Z]", shown.partition("Commands:")[2], re.MULTILINE)
    assert names[:8] == ["score", "watch", "fix", "serve", "train", "export", "eval", "data"]


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (["train", "--preset", "huge", "--data", ".", "--out", "x"], "Unknown preset 'huge'", 2),
        (["train", "--preset", "debug", "--data", "none", "--out", "x"], "neither a folder", 1),
        (
            ["train", "--preset", "debug", "--data", ".", "--out", "x", "--set", "nothing=1"],
            "Unknown option 'nothing'",
            2,
        ),
        (["train", "--preset", "debug"], "Training also needs --data and --out;", 2),
        (["train", "--preset", "debug", "--data", "."], "Training also needs --out;", 2),
        (["train"], "Training needs --preset, --data and --out;", 2),
        (["export", "none", "--out", "x"], "is not a run", 1),
        (["score", "none.mp4", "--bundle", "none"], "does not exist", 1),
        (["data", "check", "none"], "neither a folder", 1),
        (["average", "none", "--out", "x"], "has no checkpoint", 1),
        (["eval", "sync", ".", "--bundle", "none"], "no clip", 1),
        (["convert", "none.pth", "--out", "x"], "none.pth", 1),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], words: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 1, or 2 for options that cannot be; `error:`, the sentence, no traceback."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == status, result.output
    lines = [line for line in result.output.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert words in lines[0]
    assert "Traceback" not in result.output
    assert not Path("x").exists()


def test_data_check_reports_and_fails(tmp_path: Path) -> None:
    """Status 1 as soon as one clip would be rejected; the findings are written as JSON too."""
    folder = make_clips(tmp_path / "clips", 1)
    assert CliRunner().invoke(main, ["data", "check", str(folder), "--workers", "1"]).exit_code == 0
    (folder / "bad.mp4").write_text("no video")
    out = tmp_path / "check.json"
    result = CliRunner().invoke(main, ["data", "check", str(folder), "--workers", "1", "--json", str(out)])
    assert result.exit_code == 1
    assert "unreadable" in result.output
    assert json.loads(out.read_text())["reasons"] == {"unreadable": 1}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_data_check_lists_what_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    folder = make_clips(tmp_path / "clips", 1)
    (folder / "zz.mp4").write_text("no video")

    def interrupted(*arguments: Any, **options: Any) -> Iterator[Any]:
        found = map_clips(*arguments, **options)
        yield next(found)
        os.kill(os.getpid(), number)
        yield from found

    monkeypatch.setattr("cavsync.data.check.map_clips", interrupted)
    out = tmp_path / "check.json"
    result = CliRunner().invoke(main, ["data", "check", str(folder), "--workers", "1", "--json", str(out)])
    assert result.exit_code == status, result.output
    assert "1 of 2 clips were checked" in result.stderr
    found = json.loads(out.read_text())
    assert (found["clips"], found["complete"], found["reasons"]) == (1, False, {})


@pytest.mark.slow
def test_demo_in_miniature(tmp_path: Path) -> None:
    """The whole line on few clips and seconds: every promised file is there, and the summary adds up."""
    out = tmp_path / "demo"
    arguments = ["demo", "--out", str(out), "--clips", "20", "--test-clips", "4", "--steps", "12"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    # So few clips cannot show that files are decided, so all rounds are trained.
    assert RunFolder(out / "run").latest_step() == 36
    assert "0% of the held-out files and parts of them are decided after 36 steps" in result.output
    assert "this is less than 95%" in result.output
    summary = json.loads((out / "summary.json").read_text())
    assert summary["n"] == 4
    assert len(summary["rows"]) == 4
    right = [row["within_120_ms"] for row in summary["rows"]]
    assert summary["within_120_ms"] == pytest.approx(sum(right) / 4)
    for row in summary["rows"]:
        near = row["error_ms"] is not None and abs(row["error_ms"]) <= 120
        assert row["within_120_ms"] == (near and row["is_measured"])
        assert abs(row["true_offset_ms"]) <= 800
    assert set(summary["baseline_within_120_ms"]) == {"motion_against_rise", "motion_against_loudness"}
    assert {path.name for path in out.iterdir()} == {
        *("clips", "run", "bundle", "demo.json", "scores.jsonl", "summary.json", "report.html")
    }
    again = CliRunner().invoke(main, [*arguments[:-1], "13"])
    assert again.exit_code == 2
    assert "other settings" in again.output
