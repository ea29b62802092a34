"""Sets of clips: truth beside them, the same for any number of workers, never over somebody's files."""

import importlib
import io
import json
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console
from synth_records import spec_of

from cavsync.cli.main import main
from cavsync.data.synth import ClipSpec, count_voices, draw_specs, generate, read_truth, voices_sentence
from cavsync.data.synth.espeak import espeak_available
from cavsync.errors import ConfigError, DataError


@pytest.fixture
def specs() -> list[ClipSpec]:
    return draw_specs(3, 9, duration_seconds=0.6, size=(96, 64), fps=Fraction(10), speech="synthetic", plain=True)


def _content(path: Path) -> tuple[bytes, bytes]:
    with av.open(str(path)) as media:
        video = b"".join(frame.to_ndarray().tobytes() for frame in media.decode(video=0))
    with av.open(str(path)) as media:
        return video, b"".join(frame.to_ndarray().tobytes() for frame in media.decode(audio=0))


def test_workers_do_not_change_the_result(specs: list[ClipSpec], tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    one = generate(tmp_path / "one", specs, workers=1, progress=lambda done, total: calls.append((done, total)))
    two = generate(tmp_path / "two", specs, workers=2)
    assert one == two
    assert calls == [(1, 3), (2, 3), (3, 3)]
    for record in one:
        assert _content(tmp_path / "one" / record["file"]) == _content(tmp_path / "two" / record["file"])


def test_truth_says_all(specs: list[ClipSpec], tmp_path: Path) -> None:
    truth = generate(tmp_path, specs, workers=1)
    lines = (tmp_path / "truth.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == truth == read_truth(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "truth.jsonl",
        "labels.csv",
        *(record["file"] for record in truth),
    }
    assert [spec_of(record) for record in truth] == specs
    assert all({"audio_offset_ms", "drift_ms_per_minute", "events", "labels", "espeak"} <= set(r) for r in truth)


def test_a_finished_set_is_left_alone_and_others_are_refused(specs: list[ClipSpec], tmp_path: Path) -> None:
    truth = generate(tmp_path, specs, workers=1)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert generate(tmp_path, specs, workers=1) == truth
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == stamps
    with pytest.raises(ConfigError, match="choose another folder"):
        generate(tmp_path, specs[:2], workers=1)


def interrupted(out: Path, specs: list[ClipSpec], after: int, workers: int = 1) -> None:
    def stop(done: int, _total: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(out, specs, workers=workers, progress=stop)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_set_goes_on(workers: int, specs: list[ClipSpec], tmp_path: Path) -> None:
    """What was complete is not made again, half a line is not taken for a clip, and the end is as without the break."""
    whole = generate(tmp_path / "whole", specs, workers=1)
    out = tmp_path / "out"
    interrupted(out, specs, 2, workers)
    part = out / "truth.part.jsonl"
    kept = [json.loads(line)["file"] for line in part.read_text().splitlines()[1:] if line]
    assert len(kept) == 2
    with part.open("a") as file:
        file.write('{"file": "0000')
    stamps = {name: (out / name).stat().st_mtime_ns for name in kept}
    interrupted(out, specs, 3)
    assert generate(out, specs, workers=workers) == whole
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == stamps
    assert {path.name for path in out.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}
    for record in whole:
        assert _content(out / record["file"]) == _content(tmp_path / "whole" / record["file"])


def test_another_set_does_not_go_on_with_an_interrupted_one(specs: list[ClipSpec], tmp_path: Path) -> None:
    interrupted(tmp_path, specs, 2)
    for other in ({"specs": specs[:2]}, {"specs": specs, "masks": 1}):
        with pytest.raises(ConfigError, match="choose another folder"):
            generate(tmp_path, workers=1, **other)
    truth = generate(tmp_path, specs[:1], workers=1, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"truth.jsonl", "labels.csv", truth[0]["file"]}


def test_a_missing_clip_of_an_interrupted_set_is_made_again(specs: list[ClipSpec], tmp_path: Path) -> None:
    whole = generate(tmp_path / "whole", specs, workers=1)
    interrupted(tmp_path / "out", specs, 2)
    (tmp_path / "out" / whole[0]["file"]).unlink()
    assert generate(tmp_path / "out", specs, workers=1) == whole
    assert (tmp_path / "out" / whole[0]["file"]).exists()


def test_overwrite_replaces_an_earlier_set_and_nothing_else(specs: list[ClipSpec], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="something other than"):
        generate(tmp_path, specs, workers=1)
    generate(tmp_path, specs, workers=1, overwrite=True)
    truth = generate(tmp_path, specs[:1], workers=1, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "truth.jsonl", "labels.csv", truth[0]["file"]}


def test_a_damaged_truth_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "truth.jsonl").write_text("{broken\n")
    with pytest.raises(DataError, match="is damaged"):
        read_truth(tmp_path)


def test_command_line(tmp_path: Path) -> None:
    out = tmp_path / "clips"
    common = [str(out), "--clips", "2", "--seed", "1", "--workers", "1"]
    small = ["--size", "96x64", "--fps", "29.97", "--duration-seconds", "0.6", "--families", "keys,drummer"]
    done = CliRunner().invoke(main, ["data", "synth", *common, *small, "--container", "mkv", "--max-offset-ms", "300"])
    assert done.exit_code == 0, done.output
    truth = read_truth(out)
    assert [record["family"] for record in truth] == ["keys", "drummer"]
    assert {record["fps"] for record in truth} == {"30000/1001"}
    assert np.abs([record["audio_offset_ms"] for record in truth]).max() <= 300
    again = CliRunner().invoke(main, ["data", "synth", *common])
    assert again.exit_code == 2
    assert "choose another folder" in again.output


@pytest.mark.parametrize("installed", [False, True])
def test_the_command_says_which_voices_the_clips_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    """A machine without espeak-ng makes other clips, so it must not do so silently."""
    if installed and not espeak_available():
        pytest.skip("espeak-ng is not installed")
    if not installed:
        monkeypatch.setattr(shutil, "which", lambda name: None)
    words = ["--clips", "5", "--seed", "3", "--workers", "1", "--size", "96x64", "--duration-seconds", "0.6"]
    done = CliRunner().invoke(main, ["data", "synth", str(tmp_path / "clips"), *words, "--families", "face,keys"])
    assert done.exit_code == 0, done.output
    spoken = sum(record["espeak"] for record in read_truth(tmp_path / "clips"))
    assert (0 < spoken < 3) == installed
    expected = f"espeak-ng speaks in {spoken} of 3 clips with voices, a formant synthesiser in {3 - spoken}"
    missing = ": espeak-ng is not installed, and would speak in half of them"
    assert done.output.splitlines()[-1] == expected + ("" if installed else missing)


def test_the_demo_says_which_voices_its_clips_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    demo = importlib.import_module("cavsync.cli.demo")
    console = Console(file=io.StringIO())
    demo._generate(console, tmp_path, demo.Settings(clips=4, test_clips=4, steps=600, seed=0))
    assert isinstance(console.file, io.StringIO)
    spoken = "    espeak-ng speaks in 0 of 2 clips with voices, a formant synthesiser in 2"
    assert console.file.getvalue() == f"{spoken}: espeak-ng is not installed, and would speak in half of them\n"


@pytest.mark.parametrize(
    ("clips", "hints", "sentence"),
    [
        ([], True, ""),
        ([("keys", False, False)], True, ""),
        ([("face", True, False)], True, ""),
        (
            [("face", False, True), ("voices", False, False), ("balls", False, False)],
            True,
            "espeak-ng speaks in 1 of 2 clips with voices, a formant synthesiser in 1",
        ),
        (
            [("voices", False, False)],
            False,
            "espeak-ng speaks in 0 of 1 clips with voices, a formant synthesiser in 1",
        ),
    ],
)
def test_voices_are_those_of_clips_in_which_people_are_heard(
    clips: list[tuple[str, bool, bool]], hints: bool, sentence: str
) -> None:
    truth = [{"family": family, "silent": silent, "espeak": spoken} for family, silent, spoken in clips]
    assert voices_sentence(count_voices(truth), hints=hints) == sentence


@pytest.mark.parametrize("wrong", [["--size", "big"], ["--fps", "fast"], ["--clips", "0"], ["--container", "ogg"]])
def test_bad_usage_exits_with_2(wrong: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["data", "synth", str(tmp_path / "x"), "--clips", "1", "--seed", "1", *wrong])
    assert result.exit_code == 2
    assert not (tmp_path / "x").exists()
