"""`cavsync archive` on a real cluster of this machine."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from archive_objects import archived_objects, scored_objects
from click.testing import CliRunner, Result
from killed_archive import __file__ as SCRIPT
from refused_folder import refuse
from sync_clips import write_clip
from waiting import wait_until

from cavsync.cli.main import main


def run(words: Sequence[object], status: int = 0) -> Result:
    done = CliRunner().invoke(main, [str(word) for word in words], env={"RAY_ADDRESS": None})
    assert done.exit_code == status, done.output
    return done


def archive(clips: Path | str, out: Path, bundle_path: Path, cluster: Any, *words: object, status: int = 0) -> Result:
    return run(["archive", clips, out, "--bundle", bundle_path, "--address", cluster[0], *words], status)


def table(out: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(out / name).to_pylist()
    return sorted(rows, key=lambda row: (row["source"], row.get("time_seconds") or row.get("start") or 0.0))


def links(folder: Path, clips: Path, count: int) -> Path:
    """A folder with links to the clips."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03d}.mkv").hardlink_to(clips / ("a.mkv", "b.mkv")[number % 2])
    return folder


@pytest.mark.parametrize("num_workers", [1, 2])
def test_rows_are_those_of_score(
    clips: Path, bundle_path: Path, cluster: Any, tmp_path: Path, num_workers: int
) -> None:
    """Every field of every window, event and verdict, and the sentence on a file that cannot be scored."""
    folder = tmp_path / "clips"
    shutil.copytree(clips, folder)
    # Tracks that are apart by this much are out of sync throughout.
    write_clip(folder / "late.mkv", seconds=6.0, frame_rate=12, seed=5, audio_offset_ms=-300.0)
    (folder / "bad.mkv").write_bytes((clips / "a.mkv").read_bytes()[:300])
    options = ["--bundle", bundle_path, "--window-seconds", 1.5]
    run(["score", folder, *options, "--json", tmp_path / "scores.jsonl"], 1)
    out = tmp_path / "out"
    done = archive(folder, out, bundle_path, cluster, *options[2:], "--workers", num_workers, status=1)
    assert "5 files, 0.0 hours: " in done.output
    found = archived_objects(out)
    assert found == scored_objects(tmp_path / "scores.jsonl")
    assert [one["kind"] for one in found[str(folder / "bad.mkv")]] == ["error"]
    assert any(one.get("events") for objects in found.values() for one in objects)
    assert "Audio-visual sync of an archive" in (out / "report.html").read_text("utf-8")


def test_three_poison_files_cost_only_themselves(clips: Path, bundle_path: Path, cluster: Any, tmp_path: Path) -> None:
    folder = links(tmp_path / "clips", clips, 4)
    for name in ("crash", "hang", "memory"):
        (folder / f"{name}.mkv").write_bytes(b"")
    limits = ["--memory-mb", 700, "--stall-seconds", 60]
    done = archive(folder, tmp_path / "out", bundle_path, cluster, *limits, status=1)
    errors = {Path(row["source"]).stem: row["error"] for row in table(tmp_path / "out", "verdicts") if row["error"]}
    assert errors.keys() == {"crash", "hang", "memory"}
    assert "(SIGSEGV)" in errors["crash"]
    assert "no progress for 60 s" in errors["hang"]
    assert "more than 700 MiB" in errors["memory"]
    assert all(f"error: {error}" in done.output for error in errors.values())
    assert "7 files, 0.0 hours" in done.output


def test_only_what_is_new_is_scored(clips: Path, bundle_path: Path, cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{clips}/a.mkv\n")
    words = [tmp_path / "list.txt", tmp_path / "out", bundle_path, cluster]
    archive(*words)
    assert "continue with --resume" in archive(*words, status=2).output
    (tmp_path / "list.txt").write_text(f"{clips}/a.mkv\n{clips}/b.mkv\n{clips}/none.mkv\n")
    done = archive(*words, "--resume", status=1)
    assert "1 of 3 files were scored before" in done.output
    assert "none.mkv" in done.output
    assert "another window_seconds" in archive(*words, "--resume", "--window-seconds", 1, status=2).output
    assert Counter(row["state"] == "failed" for row in table(tmp_path / "out", "verdicts")) == {False: 2, True: 1}


def test_what_is_left_out_and_what_cannot_be_listed(
    clips: Path, bundle_path: Path, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = links(tmp_path / "clips", clips, 1), tmp_path / "out"
    (folder / "link.mkv").symlink_to("000.mkv")
    (folder / "closed").mkdir()
    with monkeypatch.context() as patch:
        refuse(patch, folder / "closed")
        said = archive(folder, out, bundle_path, cluster, status=1).output
    assert "1 name was left out: other names of the same files came before" in said
    assert f"error: {folder}/closed cannot be listed (Permission denied)" in said
    assert "2 files, 0.0 hours" in said
    rows = {row["source"]: row["error"] for row in table(out, "verdicts")}
    assert rows.keys() == {str(folder / "000.mkv"), f"{folder}/closed/"}
    assert rows[str(folder / "000.mkv")] is None
    assert "(Permission denied)" in rows[f"{folder}/closed/"]
    said = archive(folder, out, bundle_path, cluster, "--resume").output
    assert "1 of 1 files were scored before" in said
    assert [row["source"] for row in table(out, "verdicts")] == [str(folder / "000.mkv")]


def test_the_signature_of_a_list_is_kept_nowhere(
    clips: Path, web: str, bundle_path: Path, cluster: Any, tmp_path: Path
) -> None:
    (clips / "signed.csv").write_text(f"path\n{web}/a.mkv\n{web}/none.mkv\n{web}/./a.mkv#t=1\n")
    try:
        src = f"{web}/signed.csv?X-Amz-Signature=Q7Q&other=Q8Q"
        said = archive(src, tmp_path / "out", bundle_path, cluster, status=1).output
    finally:
        (clips / "signed.csv").unlink()
    assert "1 name was left out" in said
    rows = {row["source"]: row["error"] for row in table(tmp_path / "out", "verdicts")}
    assert rows.keys() == {f"{web}/a.mkv", f"{web}/none.mkv"}
    assert rows[f"{web}/a.mkv"] is None
    content = [said.encode(), *(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())]
    assert not [part for part in content if b"Q7Q" in part or b"Q8Q" in part]
    assert json.loads((tmp_path / "out" / "archive.json").read_bytes())["source"] == f"{web}/signed.csv?***"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere", "out"], "error: nowhere is not a folder, list or table"),
        (["clips", "s3://bucket/out"], "error: Invalid value for 'OUT': s3://bucket/out is an address: give a folder"),
        (
            ["clips", "out", "--workers", "4-2"],
            "error: Invalid value for '--workers': '4-2' is not a number of workers",
        ),
        (
            ["clips", "out", "--gpus-per-worker", "1"],
            "error: --gpus-per-worker needs --engine tensorrt or tensorrt_rtx",
        ),
        (["clips", "out", "--engine", "auto"], "error: --engine auto may be another engine on each machine"),
        (["clips", "out", "--window-seconds", "-1"], "error: window_seconds is -1"),
        (["clips", "out", "--address", "127.0.0.1:1"], "error: no Ray cluster answers at 127.0.0.1:1"),
    ],
)
def test_bad_options_are_one_sentence(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    pytest.importorskip("ray", reason="archives need the extra 'ray'")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").symlink_to(clips)
    said = run(["archive", *words], 2).output
    assert said.startswith(sentence)
    assert said.count("\n") == 1


def start(folder: Path, out: Path, bundle_path: Path, cluster: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", SCRIPT, folder, out, "--bundle", bundle_path, "--address", cluster[0], "--resume"]
    return subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def num_done(out: Path) -> int:
    return len(list((out / "verdicts").glob("part-*.parquet")))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_archive_keeps_what_was_scored(
    clips: Path, bundle_path: Path, cluster: Any, tmp_path: Path, number: signal.Signals
) -> None:
    folder, out = links(tmp_path / "clips", clips, 12), tmp_path / "out"
    with start(folder, out, bundle_path, cluster) as process:
        wait_until(lambda: num_done(out) >= 1 or process.poll() is not None)
        process.send_signal(number)
        _, said = process.communicate()
    if process.returncode:
        assert process.returncode == 128 + number, said
        assert "of 12 files are in" in said
    archive(folder, out, bundle_path, cluster, "--resume")
    assert len(table(out, "verdicts")) == 12
    assert {row["source"] for row in table(out, "windows")} == {str(path) for path in folder.iterdir()}
