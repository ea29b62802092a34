"""Commands on files with every name that a file system allows, given as a user in their folder types them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from refused_folder import refuse
from sync_clips import write_clip

from cavsync.cli.main import main
from cavsync.data.shards.media_names import media_below
from cavsync.deploy.server.local_files import local_file
from cavsync.deploy.server.refusals import RefusalError
from cavsync.errors import MediaError
from cavsync.media.files import find_media

PROTOCOLS = ["12:30 meeting.mp4", "C:clip.mp4", "concat:x.mp4", "pipe:0.mp4", "cache:clip.mp4", "http:clip.mp4"]
OTHERS = ["-x.mp4", "one\ntwo.mp4", "'\"`$(x)`.mp4", "\N{FILM FRAMES}.mp4", "\x1b[31mred.mp4", "y" * 251 + ".mp4"]
NOT_UTF_8 = os.fsdecode(b"caf\xe9.mp4")
NAMES = [*PROTOCOLS, *OTHERS, NOT_UTF_8]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=3.0)


@pytest.fixture
def folder(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a file of every name."""
    here = tmp_path / "here"
    here.mkdir()
    for name in NAMES:
        (here / name).hardlink_to(clip)
    monkeypatch.chdir(here)
    return here


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in arguments])


def test_score_writes_every_name_in_every_output(folder: Path, bundle_path: Path, tmp_path: Path) -> None:
    out, table, page = tmp_path / "out.json", tmp_path / "out.csv", tmp_path / "out.html"
    outputs = ["--json", out, "--csv", table, "--html", page]
    result = run("score", "--bundle", bundle_path, *outputs, "z" * 300 + ".mp4", "--", *NAMES)
    assert result.exit_code == 1, result.output
    assert "(File name too long)" in result.stderr
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    shown = [r"caf\xe9.mp4" if name == NOT_UTF_8 else name for name in NAMES]
    assert [line["source"] for line in lines if line["kind"] == "summary"] == shown
    assert all(line["state"] == "in_sync" for line in lines if line["kind"] == "summary")
    with table.open(encoding="utf-8", newline="") as stream:
        rows = [row["source"] for row in csv.DictReader(stream) if row["kind"] == "summary"]
    assert rows == [f"'{name}" if name.startswith("-") else name for name in shown]
    assert page.read_text("utf-8").count('class="card" id="clip-') == len(NAMES)
    assert r"caf\xe9.mp4" in page.read_text("utf-8")
    assert "\x1b" not in result.output + page.read_text("utf-8")
    assert r"\x1b[31mred.mp4" in result.stdout
    assert r"one\x0atwo.mp4" in result.stdout


def test_a_terminal_without_emoji_ends_no_batch(folder: Path, bundle_path: Path) -> None:
    command = [sys.executable, "-P", "-c", "from cavsync.cli.main import main; main()", "score"]
    command += ["\N{FILM FRAMES}.mp4", NOT_UTF_8, "--bundle", str(bundle_path), "--json", "-"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, env=environment, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]
    assert {line["source"] for line in lines} == {"\N{FILM FRAMES}.mp4", r"caf\xe9.mp4"}


@pytest.mark.parametrize("name", [*PROTOCOLS, NOT_UTF_8, "y" * 251 + ".mp4"])
def test_fix_reads_and_writes_such_names(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "copies").mkdir()
    os.chdir(tmp_path / "copies")
    result = run("fix", Path("..", "here", name), name, "--offset-ms", 200, "--no-check")
    assert result.exit_code == 0, result.output
    assert [path.name for path in Path().iterdir()] == [name]


def test_watch_plays_such_a_file(folder: Path, bundle_path: Path) -> None:
    for name in ("12:30 meeting.mp4", NOT_UTF_8):
        result = run("watch", name, "--bundle", bundle_path)
        assert result.exit_code == 0, result.output
        states = [line["state"] for line in map(json.loads, result.stdout.splitlines()) if line["kind"] == "window"]
        assert set(states) == {"in_sync"}


def test_data_commands_report_names_that_are_not_utf_8(folder: Path, tmp_path: Path) -> None:
    for name in NAMES:
        if name not in (NOT_UTF_8, "12:30 meeting.mp4"):
            Path(name).unlink()
    Path(os.fsdecode(b"bad\xff.mp4")).write_text("no video")
    report = tmp_path / "report.json"
    result = run("data", "check", ".", "--workers", 1, "--json", report)
    assert result.exit_code == 1, result.output
    (rejected,) = json.loads(report.read_text())["rejects"]
    assert rejected["name"] == r"bad\xff.mp4"
    out = tmp_path / "shards"
    result = run("data", "pack", ".", out, "--workers", 1, "--frames", 2, "--size", 32)
    assert result.exit_code == 0, result.output
    assert "2 clips" in result.stdout
    assert json.loads((out / "rejects.jsonl").read_text())["name"] == r"bad\xff.mp4"
    assert rb"caf\\xe9.mp4" in b"".join(path.read_bytes() for path in out.glob("*.tar"))


def test_hidden_files_are_passed_over_in_folders(
    clip: Path, bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".videos"
    for path in ("clip.mp4", ".hidden.mp4", ".Trash/clip.mp4", "day/clip.mp4", "day/._clip.mp4"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, folder / path)
    (folder / "._clip.mp4").write_bytes(b"resource fork")
    assert find_media(folder) == [folder / "clip.mp4", folder / "day" / "clip.mp4"]
    assert media_below(folder) == ["clip.mp4", "day/clip.mp4"]
    result = run("score", folder, folder / ".hidden.mp4", "--bundle", bundle_path)
    assert result.exit_code == 0, result.output
    assert "3 inputs: 3 in sync" in result.stdout


def test_a_folder_that_cannot_be_listed_is_named(
    clip: Path, bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in it may be the file that is out of sync: a batch that says nothing of it would look complete."""
    folder, report = tmp_path / "videos", tmp_path / "report.json"
    (folder / "closed").mkdir(parents=True)
    shutil.copy(clip, folder / "clip.mp4")
    refuse(monkeypatch, folder / "closed")
    result = run("score", folder, "--bundle", bundle_path, "--json", report)
    assert result.exit_code == 1
    sentence = f"{folder}/closed cannot be listed (Permission denied): check its permissions, or leave it out"
    assert sentence in result.stderr.replace("\n", "")
    with pytest.raises(MediaError, match="closed cannot be listed"):
        find_media(folder)
    monkeypatch.undo()
    again = run("score", folder, "--bundle", bundle_path, "--json", report, "--resume")
    assert again.exit_code == 0, again.output


def test_the_server_opens_such_files_in_its_folders(folder: Path) -> None:
    for name in NAMES:
        found = local_file(str(folder / name), [folder])
        assert found is not None
        with found.open("rb") as file:
            assert file.read(8)[4:] == b"ftyp"
    with pytest.raises(RefusalError):
        local_file(f"{folder}/{'y' * 300}.mp4", [folder])


def test_outputs_with_names_that_are_too_long_are_refused_before_any_work(clip: Path, bundle_path: Path) -> None:
    for arguments in (["score", clip, "--bundle", bundle_path, "--json", "y" * 300], ["fix", clip, "y" * 300 + ".mp4"]):
        result = run(*arguments)
        assert result.exit_code in (1, 2)
        assert "File name too long" in result.stderr
        assert isinstance(result.exception, SystemExit)
