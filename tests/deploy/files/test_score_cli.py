"""`cavsync score` as a user meets it: outputs, exit codes, one sentence per fault."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fake_bundle import write_fake_bundle
from sync_clips import write_clip

from cavsync import deploy
from cavsync.cli.main import main
from cavsync.deploy.verdict.records import RECORD_FIELDS


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["score", *map(str, arguments)])


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "late.mkv", seconds=4.0, audio_offset_ms=-200.0)
    write_clip(folder / "sync.mp4", seconds=4.0)
    (folder / "notes.txt").write_text("no media")
    return folder


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]


def test_json_on_stdout_holds_every_decision_and_a_summary_per_clip(clips: Path, bundle_path: Path) -> None:
    result = run(clips, "--bundle", bundle_path, "--json", "-", "--threads", 1)
    assert result.exit_code == 0, result.output
    lines = objects(result.stdout)
    assert [line["kind"] for line in lines] == [*["window"] * 5, "summary"] * 2
    assert {line["source"] for line in lines} == {str(clips / "late.mkv"), str(clips / "sync.mp4")}
    assert all(set(RECORD_FIELDS) < set(line) for line in lines)
    late, sync = (line for line in lines if line["kind"] == "summary")
    assert (late["state"], sync["state"]) == ("audio_late", "in_sync")
    assert late["audio_offset_ms"] == pytest.approx(-200, abs=5)
    assert late["suggested_audio_delay_ms"] == late["audio_offset_ms"]
    assert "Audio late by" in result.stderr


def test_all_files_are_written_and_the_table_is_printed(clips: Path, bundle_path: Path, tmp_path: Path) -> None:
    names = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv", "html")}
    options = [item for kind, path in names.items() for item in (f"--{kind}", path)]
    result = run(clips / "late.mkv", clips / "sync.mp4", "--bundle", bundle_path, *options)
    assert result.exit_code == 0, result.output
    assert "late.mkv" in result.stdout
    rows = list(csv.DictReader(io.StringIO(names["csv"].read_text())))
    lines = objects(names["json"].read_text())
    assert [row["kind"] for row in rows] == [line["kind"] for line in lines]
    for row, line in zip(rows, lines, strict=True):
        assert float(row["audio_offset_ms"]) == line["audio_offset_ms"]
        assert row["within_profile"] == str(line["within_profile"]).lower()
    page = names["html"].read_text()
    assert page.count('class="card" id="clip-') == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.html", "out.json"]


def test_vtt_has_a_cue_per_decision_and_takes_one_input(clips: Path, bundle_path: Path, tmp_path: Path) -> None:
    cues = tmp_path / "cues.vtt"
    assert run(clips / "late.mkv", "--bundle", bundle_path, "--vtt", cues).exit_code == 0
    header, *blocks = cues.read_text().strip().split("\n\n")
    assert header == "WEBVTT"
    assert [block.splitlines()[0] for block in blocks][:2] == [
        "00:00:00.000 --> 00:00:02.000",
        "00:00:02.000 --> 00:00:02.500",
    ]
    assert all(json.loads(block.splitlines()[1])["state"] == "audio_late" for block in blocks)
    result = run(clips, "--bundle", bundle_path, "--vtt", tmp_path / "two.vtt")
    assert result.exit_code == 2
    assert "--vtt takes one input" in result.stderr


@pytest.mark.parametrize(
    ("names", "fail_on", "status"),
    [
        (["sync.mp4"], [], 0),
        (["late.mkv"], [], 0),
        (["sync.mp4"], ["--fail-on", "out-of-profile,undetermined"], 0),
        (["sync.mp4", "late.mkv"], ["--fail-on", "out-of-profile"], 3),
        (["sync.mp4", "late.mkv"], ["--fail-on", "undetermined"], 0),
        (["silent.mkv"], ["--fail-on", "out-of-profile"], 0),
        (["silent.mkv", "sync.mp4"], ["--fail-on", "out-of-profile", "--fail-on", "undetermined"], 3),
        (["late.mkv", "silent.mkv"], ["--fail-on", "undetermined, out-of-profile"], 3),
        (["late.mkv", "absent.mp4"], ["--fail-on", "out-of-profile"], 1),
    ],
)
def test_exit_status_for_ci(
    clips: Path, bundle_path: Path, tmp_path: Path, names: list[str], fail_on: list[str], status: int
) -> None:
    """Whatever the status is, everything is written."""
    write_clip(tmp_path / "silent.mkv", seconds=4.0, samples=np.zeros(4 * 48_000, np.float32))
    sources = [(tmp_path if name == "silent.mkv" else clips) / name for name in names]
    out = tmp_path / "out.json"
    result = run(*sources, "--bundle", bundle_path, "--json", out, *fail_on)
    assert result.exit_code == status, result.output
    assert [line["source"] for line in objects(out.read_text()) if line["kind"] != "window"] == list(map(str, sources))
    sentences = [line for line in result.stderr.splitlines() if line.startswith("failed: ")]
    assert len(sentences) == (status == 3)
    if names == ["late.mkv", "silent.mkv"]:
        assert sentences == ["failed: 1 out-of-profile, 1 undetermined of 2 (--fail-on)"]


def test_the_path_is_an_option(clips: Path, bundle_path: Path, face_bundle_path: Path, tmp_path: Path) -> None:
    """A face is looked for where the bundle can, and asking for one elsewhere is refused before any file is opened."""
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    for folder, path, judged_on in (
        (bundle_path, "auto", "whole"),
        (face_bundle_path, "whole", "whole"),
        (face_bundle_path, "face", "face"),
    ):
        result = run(
            clips / "late.mkv", "--bundle", folder, "--path", path, "--json", out, "--html", page, "--threads", 1
        )
        assert result.exit_code == 0, result.output
        assert {line["path"] for line in objects(out.read_text())} == {judged_on}
        assert f"{'a face' if judged_on == 'face' else 'the whole picture'} in 100% of the windows" in page.read_text()
    refused = run(tmp_path / "absent.mkv", "--bundle", bundle_path, "--path", "face")
    assert refused.exit_code == 2
    assert "path is face, and the bundle light and loudness meter has no face path" in refused.stderr
    assert run(clips / "late.mkv", "--path", "mouth").exit_code == 2


def test_totals_of_several_inputs(clips: Path, bundle_path: Path, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    wanted = "1 in sync, 0 audio early, 1 audio late, 0 undetermined, 1 failed"
    result = run(clips, clips / "absent.mp4", "--bundle", bundle_path, "--html", page)
    assert f"3 inputs: {wanted}" in result.stdout
    text = page.read_text()
    items = re.findall(r'<li class="(\w+)"><strong>(\d)</strong> ([\w ]+)</li>', text)
    assert ", ".join(f"{count} {words}" for _, count, words in items) == wanted
    assert [state for state, _, _ in items] == ["in_sync", "soft", "audio_late", "soft", "failed"]
    alone = run(clips / "late.mkv", "--bundle", bundle_path, "--html", page)
    assert "inputs:" not in alone.stdout
    assert "Overview" not in page.read_text()


def bad_files(folder: Path) -> dict[str, str]:
    """Name of a bad file -> what its sentence says."""
    write_clip(folder / "mute.mp4", tracks=("video",))
    write_clip(folder / "blind.mp4", tracks=("audio",))
    write_clip(folder / "short.mkv", seconds=1.0)
    for ending in ("mp4", "mkv"):
        whole = write_clip(folder / f"whole.{ending}", seconds=8.0).read_bytes()
        (folder / f"whole.{ending}").unlink()
        (folder / f"truncated.{ending}").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("This is a letter.\n" * 100)
    return {
        "mute.mp4": "no audio track",
        "blind.mp4": "no video track",
        "short.mkv": "shorter than one window",
        "truncated.mp4": "truncated.mp4",
        "truncated.mkv": "truncated",
        "empty.mp4": "empty",
        "text.mp4": "cannot be opened",
        "absent.mp4": "does not exist",
    }


def test_each_bad_file_costs_one_sentence_and_the_others_are_scored(
    clips: Path, bundle_path: Path, tmp_path: Path
) -> None:
    expected = bad_files(tmp_path)
    inputs = [tmp_path / name for name in expected]
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    result = run(*inputs, clips / "sync.mp4", "--bundle", bundle_path, "--json", out, "--html", page)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    sentences = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(sentences) == len(expected)
    errors = {Path(line["source"]).name: line["error"] for line in objects(out.read_text()) if line["kind"] == "error"}
    for (name, part), sentence in zip(expected.items(), sentences, strict=True):
        assert part in sentence
        assert errors[name] == sentence.removeprefix("error: ")
        assert "Traceback" not in sentence
    assert [line["state"] for line in objects(out.read_text()) if line["kind"] == "summary"] == ["in_sync"]
    assert page.read_text().count("Not scored") == len(expected)


def test_a_bad_bundle_comes_before_any_input(clips: Path, tmp_path: Path) -> None:
    folder = write_fake_bundle(tmp_path / "bundle")
    (folder / "audio_encoder.onnx").write_bytes(b"changed")
    for bundle, part in ((folder, "differs from the hash"), (tmp_path / "nothing", "does not exist")):
        result = run(clips / "absent.mp4", "--bundle", bundle)
        assert result.exit_code == 1
        assert result.stderr.count("error: ") == 1
        assert part in result.stderr
        assert "absent.mp4" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["clip.mp4", "--bundle", "b", "--profile", "nobody"],
        ["clip.mp4", "--bundle", "b", "--profile", "custom", "--early-ms", "3"],
        ["clip.mp4", "--bundle", "b", "--early-ms", "3"],
        ["clip.mp4", "--bundle", "b", "--threads", "0"],
        ["clip.mp4", "--bundle", "b", "--window-seconds", "soon"],
        ["clip.mp4", "--bundle", "b", "--fail-on", "late"],
        ["clip.mp4", "--bundle", "b", "--fail-on", "undetermined,"],
        ["clip.mp4", "--bundle", "b", "--cores", "first"],
        ["clip.mp4", "--bundle", "b", "--cores", "0,,1"],
        ["clip.mp4", "--bundle", "b", "--cores", "100000"],
        ["clip.mp4", "--bundle", "b", "--cores", "0", "--threads", "2"],
    ],
)
def test_bad_usage_exits_with_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("option", [["--window-seconds", "-1"], ["--max-offset-ms", "1"]])
def test_windows_and_ranges_that_fit_no_file_are_bad_usage(clips: Path, bundle_path: Path, option: list[str]) -> None:
    assert run(clips / "late.mkv", "--bundle", bundle_path, *option).exit_code == 2


def test_custom_limits_and_an_output_that_cannot_be_written(clips: Path, bundle_path: Path, tmp_path: Path) -> None:
    options = ["--bundle", bundle_path, "--profile", "custom", "--early-ms", 10, "--late-ms", 300]
    result = run(clips / "late.mkv", *options, "--json", "-")
    assert objects(result.stdout)[-1]["state"] == "in_sync"
    result = run(clips / "late.mkv", *options, "--csv", tmp_path / "no" / "out.csv")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    result = run(empty, *options)
    assert result.exit_code == 1
    assert "holds no media file" in result.stderr


def test_interruption_is_clean(clips: Path, bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(deploy, "score_file", interrupt)
    result = run(clips / "late.mkv", "--bundle", bundle_path)
    assert result.exit_code == 130
    assert "interrupted" in result.stderr


def test_names_from_files_cannot_write_html_or_formulas(bundle_path: Path, tmp_path: Path) -> None:
    name = "=1+<script>alert(1)<b>&.mkv"
    write_clip(tmp_path / name, seconds=3.0, samples=np.zeros(3 * 48_000, np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        result = run(name, "--bundle", bundle_path, "--html", "out.html", "--csv", "out.csv")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert all(row["source"].startswith("'=") for row in csv.DictReader((tmp_path / "out.csv").open()))


def test_ctrl_c_keeps_what_was_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle_path: Path) -> None:
    """Interrupted in the second of three files: status 130, and the first one's records are in the file."""
    clips = [write_clip(tmp_path / f"clip{number}.mkv", seconds=5.0) for number in range(3)]
    plain = deploy.score_file

    def interrupted(source: str, *arguments: object, **options: object) -> object:
        if source.endswith("clip1.mkv"):
            raise KeyboardInterrupt
        return plain(source, *arguments, **options)

    monkeypatch.setattr(deploy, "score_file", interrupted)
    result = run(*map(str, clips), "--bundle", str(bundle_path), "--json", str(tmp_path / "scores.jsonl"))
    assert result.exit_code == 130
    assert "1 of 3" in result.output
    lines = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert {line["source"] for line in lines} == {str(clips[0])}
