"""Batches of `cavsync score` that end early: what is kept, and what --resume does with it."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from faults import end_by_fault
from sync_clips import write_clip
from waiting import PATIENCE_SECONDS

from cavsync import deploy
from cavsync.cli.main import main
from cavsync.deploy.files import apart
from cavsync.deploy.sinks.batch_file import MAX_NAME_BYTES, batch_path

CRASHING_SCORE = Path(__file__).parents[2] / "support" / "crashing_score.py"

plain_score = deploy.score_file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["score", *map(str, arguments)])


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "clips"
    folder.mkdir()
    return [
        write_clip(folder / f"clip{number}.mkv", seconds=2.5, frame_rate=12, audio_offset_ms=-150.0 * number)
        for number in range(4)
    ]


def interrupted_at(monkeypatch: pytest.MonkeyPatch, name: str | None, number: int = signal.SIGTERM) -> list[str]:
    """Let the signal arrive while the file of this name is scored; return the names of what is scored from now on."""
    seen: list[str] = []

    def score(source: str, *arguments: Any, **options: Any) -> Any:
        seen.append(Path(source).name)
        if Path(source).name == name:
            os.kill(os.getpid(), number)
        return plain_score(source, *arguments, **options)

    monkeypatch.setattr(deploy, "score_file", score)
    return seen


def names(out: Path, *kinds: str) -> list[str]:
    """Return the name of every file in JSON lines, in their order."""
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    return [Path(line["source"]).name for line in lines if line["kind"] in (kinds or ("summary",))]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_keeps_what_was_scored_and_resume_goes_on(
    clips: list[Path], bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    outputs = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv", "html")}
    arguments = [
        clips[0].parent,
        "--bundle",
        bundle_path,
        *(word for kind, path in outputs.items() for word in (f"--{kind}", path)),
    ]
    interrupted_at(monkeypatch, "clip2.mkv", number)
    result = run(*arguments)
    assert result.exit_code == status, result.output
    assert "2 of 4 inputs were scored and written; --resume continues with the rest" in result.stderr
    assert names(outputs["json"]) == ["clip0.mkv", "clip1.mkv"]
    assert "clip1.mkv" in result.stdout
    assert (tmp_path / "out.json.partial").is_file()
    seen = interrupted_at(monkeypatch, None)
    result = run(*arguments, "--resume")
    assert result.exit_code == 0, result.output
    assert "2 of 4 inputs were scored before" in result.stderr
    assert seen == ["clip2.mkv", "clip3.mkv"]
    resumed = {kind: path.read_text("utf-8") for kind, path in outputs.items()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "out.csv", "out.html", "out.json"]
    assert run(*arguments).exit_code == 0
    assert {kind: path.read_text("utf-8") for kind, path in outputs.items()} == resumed
    assert "4 inputs: 1 in sync, 0 audio early, 3 audio late, 0 undetermined, 0 failed" in result.stdout
    rows = list(csv.DictReader(outputs["csv"].open(newline="")))
    assert [Path(row["source"]).name for row in rows if row["kind"] == "summary"] == [path.name for path in clips]


def test_a_batch_is_not_begun_over_by_accident(
    clips: list[Path], bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.json"
    arguments = [clips[0].parent, "--bundle", bundle_path, "--json", out]
    interrupted_at(monkeypatch, "clip0.mkv")
    assert run(*arguments).exit_code == 143
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips"], "nothing was scored"
    interrupted_at(monkeypatch, "clip1.mkv")
    assert run(*arguments).exit_code == 143
    result = run(*arguments)
    assert result.exit_code == 2
    assert "after 1 files: continue with --resume, or delete it" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--profile", "ebu-r37"], "another profile:"),
        (["--window-seconds", 1.5, "--hop-ms", 80], "another hop_ms and window_seconds:"),
        (["--html", "{folder}/out.html"], "another choice of --html:"),
        (["--bundle", "{other}"], "another bundle:"),
    ],
)
def test_other_options_are_refused(
    clips: list[Path],
    bundle_path: Path,
    face_bundle_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[Any],
    words: str,
) -> None:
    out = tmp_path / "out.json"
    interrupted_at(monkeypatch, "clip1.mkv")
    assert run(*clips, "--bundle", bundle_path, "--json", out).exit_code == 143
    kept = batch_path(out).read_bytes()
    more = [str(word).format(folder=tmp_path, other=face_bundle_path) for word in options]
    result = run(*clips, "--bundle", bundle_path, "--json", out, "--resume", *more)
    assert result.exit_code == 2
    assert words in result.stderr
    assert batch_path(out).read_bytes() == kept


def test_changed_and_failed_files_are_scored_again_and_lost_ones_kept(
    clips: list[Path], bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.json"
    whole = clips[1].read_bytes()
    clips[1].write_bytes(whole[:100])
    arguments = [*clips, "--bundle", bundle_path, "--json", out]
    interrupted_at(monkeypatch, "clip3.mkv")
    assert run(*arguments).exit_code == 143
    assert names(out, "summary", "error") == ["clip0.mkv", "clip1.mkv", "clip2.mkv"]
    clips[0].unlink()
    clips[1].write_bytes(whole)
    write_clip(clips[2], seconds=3.0, frame_rate=12)
    seen = interrupted_at(monkeypatch, None)
    result = run(*arguments, "--resume")
    assert result.exit_code == 0, result.output
    assert seen == ["clip1.mkv", "clip2.mkv", "clip3.mkv"]
    assert names(out, "summary", "error") == ["clip0.mkv", "clip1.mkv", "clip2.mkv", "clip3.mkv"]


def test_a_torn_line_is_ignored_and_other_damage_is_refused(
    clips: list[Path], bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.json"
    arguments = [*clips, "--bundle", bundle_path, "--json", out]
    interrupted_at(monkeypatch, "clip2.mkv")
    assert run(*arguments).exit_code == 143
    kept = batch_path(out).read_bytes()
    header, first, second = kept.splitlines(keepends=True)
    for length in (1, len(second) // 2, len(second) - 1):
        batch_path(out).write_bytes(header + first + second[:length])
        seen = interrupted_at(monkeypatch, None)
        assert run(*arguments, "--resume").exit_code == 0
        assert seen == ["clip1.mkv", "clip2.mkv", "clip3.mkv"]
        assert names(out) == [path.name for path in clips]
    batch_path(out).write_bytes(header + first[:-9] + b"\n" + second)
    result = run(*arguments, "--resume")
    assert result.exit_code == 1
    assert "is damaged" in result.stderr
    # A header that was torn holds no score.
    batch_path(out).write_bytes(header[:-5])
    assert run(*arguments).exit_code == 0


def test_a_full_disk_keeps_what_was_scored(clips: list[Path], bundle_path: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the third entry does not fit."""
    out = tmp_path / "out.json"
    arguments = [*clips, "--bundle", bundle_path, "--json", out]
    assert run(*arguments).exit_code == 0
    whole = out.read_bytes()
    out.unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(0.8 * len(whole)), hard))
    try:
        result = run(*arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.exit_code == 1, result.output
    assert "free some space and continue with --resume" in result.stderr
    assert not out.exists()
    num_kept = batch_path(out).read_bytes().count(b"\n") - 1
    assert 1 <= num_kept < 4
    assert f"{num_kept} of 4 inputs were scored and are kept" in result.stderr
    result = run(*arguments, "--resume")
    assert result.exit_code == 0, result.output
    assert f"{num_kept} of 4 inputs were scored before" in result.stderr
    assert out.read_bytes() == whole


def test_outputs_that_do_not_fit_are_written_later(
    clips: list[Path], bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.json"
    arguments = [*clips, "--bundle", bundle_path, "--json", out]
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".part":
            raise OSError(28, os.strerror(28))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = run(*arguments)
    assert result.exit_code == 2
    assert "No space left on device" in result.stderr
    assert f"all scores are kept in {batch_path(out)}, for --resume" in result.stderr
    seen = interrupted_at(monkeypatch, None)
    assert run(*arguments, "--resume").exit_code == 0
    assert seen == []
    assert names(out) == [path.name for path in clips]


def test_results_reach_stdout_as_they_come(
    clips: list[Path], bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_at(monkeypatch, "clip2.mkv")
    result = run(*clips, "--bundle", bundle_path, "--json", "-")
    assert result.exit_code == 143
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(line["source"]).name for line in found if line["kind"] == "summary"] == ["clip0.mkv", "clip1.mkv"]
    assert "--resume continues" not in result.stderr
    refused = run(*clips, "--bundle", bundle_path, "--json", "-", "--resume")
    assert refused.exit_code == 2
    assert "--resume needs" in refused.stderr


def test_the_batch_file_of_a_long_name_fits(tmp_path: Path) -> None:
    path = batch_path(tmp_path / ("x" * MAX_NAME_BYTES))
    path.write_bytes(b"")
    assert path.name.endswith(".partial")
    assert batch_path(tmp_path / "out.csv") == tmp_path / "out.csv.partial"


def test_two_batches_do_not_share_a_file(
    clips: list[Path], bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [clips[0], "--bundle", bundle_path, "--json", tmp_path / "out.json"]
    results: list[Result] = []

    def score(source: str, *rest: Any, **options: Any) -> Any:
        monkeypatch.setattr(deploy, "score_file", plain_score)
        results.append(run(*arguments, "--resume"))
        return plain_score(source, *rest, **options)

    monkeypatch.setattr(deploy, "score_file", score)
    assert run(*arguments).exit_code == 0
    assert results[0].exit_code == 2
    assert "is in use by another batch" in results[0].stderr


def test_a_signal_inside_a_callback_of_a_library_is_not_lost(
    clips: list[Path], bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a signal raises there is swallowed; the batch ends at the next frame all the same."""
    out = tmp_path / "out.json"

    def score(source: str, *arguments: Any, **options: Any) -> Any:
        if Path(source).name == "clip1.mkv":
            with contextlib.suppress(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
        return plain_score(source, *arguments, **options)

    monkeypatch.setattr(deploy, "score_file", score)
    assert run(*clips, "--bundle", bundle_path, "--json", out).exit_code == 143
    assert names(out) == ["clip0.mkv"]


@pytest.mark.parametrize("kills_again", [False, True])
def test_a_file_that_ends_the_process_is_scored_apart_and_stops_no_batch(
    clips: list[Path], bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills_again: bool
) -> None:
    out = tmp_path / "out.json"
    arguments = [*clips, "--bundle", bundle_path, "--json", out, "--resume"]

    command = [sys.executable, str(CRASHING_SCORE), "score", *map(str, arguments)]
    # Not a fork: the engine's threads would be missing there.
    assert subprocess.run(command, timeout=PATIENCE_SECONDS).returncode == -signal.SIGSEGV
    if kills_again:
        monkeypatch.setattr(apart, "_send_outcome", end_by_fault)
    seen = interrupted_at(monkeypatch, None)
    result = run(*arguments)
    assert seen == ["clip2.mkv", "clip3.mkv"], "neither what was scored nor what crashed is scored here"
    assert "clip1.mkv ended an earlier run: scored in a process of its own" in result.stderr
    if kills_again:
        assert result.exit_code == 1
        assert "clip1.mkv ends the process that scores it (SIGSEGV)" in result.stderr
        assert names(out, "summary", "error") == [clip.name for clip in clips]
    else:
        assert result.exit_code == 0, result.output
        assert names(out) == [clip.name for clip in clips]
