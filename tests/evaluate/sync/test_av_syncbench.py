"""AV-SyncBench's list of pairs as a manifest, in the published columns and in others."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_bundle import write_fake_bundle
from sync_clips import make_audio, write_clip

from cavsync.cli.main import main
from cavsync.evaluate.sync.trial_list import TrialListLine, read_trial_list
from cavsync.media import MediaReader
from cavsync.media.audio_file import read_audio, write_pcm16

# The record of the benchmark's own tests.
FIXTURE = {
    "sample_id": "fixture-delay-500ms",
    "original_video": "original_video/example.mp4",
    "edited_audio": "edited_audio/example_delay_500ms.wav",
    "task_type": "temporal_alignment",
    "edit_type": "time_shifted",
    "offset_ms": 500,
    "direction": "delay",
    "category": "fixture",
}


def write(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + "\n")
    return path


def convert(metadata: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["data", "av-syncbench", str(metadata), "--out", str(out), *options])


def lines_of(metadata: Path, out: Path, *options: str) -> list[TrialListLine]:
    result = convert(metadata, out, *options)
    assert result.exit_code == 0, result.output
    return read_trial_list(out / "manifest.jsonl")


def test_published_columns(tmp_path: Path) -> None:
    """A line per video, with each pair's offset if wanted; a delay makes the audio late; other edits are counted."""
    (tmp_path / "bench").mkdir()
    records = [
        FIXTURE,
        {**FIXTURE, "offset_ms": 50.0, "direction": "advance", "video_id": "v1"},
        {**FIXTURE, "original_video": "original_video/b.mp4", "offset_ms": None, "direction": "",
         "target_attribute": "100ms advance", "category": "guitar"},
        {**FIXTURE, "original_video": "original_video/b.mp4", "offset_ms": None, "direction": None,
         "target_attribute": "Original Partition: 20260203_sampled_0_time_shifted",
         "edited_audio": "edited_audio/clip__delay_300ms.wav"},
        {**FIXTURE, "edit_type": "speed"},
        {**FIXTURE, "edit_type": "", "task_type": "global_offset", "offset_ms": 200},
    ]  # fmt: skip
    metadata = write(tmp_path / "bench" / "metadata.jsonl", *records)
    first, second = lines_of(metadata, tmp_path / "out", "--with-offsets")
    assert first.path == "../bench/original_video/example.mp4"
    assert (first.kind, first.source, first.group) == ("fixture", "AV-SyncBench", "original_video/example")
    assert first.injected_offsets_ms == (0, 50, -200, -500)
    assert (second.kind, second.injected_offsets_ms) == ("guitar", (0, 100, -300))
    assert [line.injected_offsets_ms for line in lines_of(metadata, tmp_path / "plain")] == [(0,), (0,)]
    said = convert(metadata, tmp_path / "again").output
    assert "2 videos of 5 pairs" in said
    assert "1  pairs of the edit speed left out" in said


def test_other_columns(tmp_path: Path) -> None:
    """Every column may have another name."""
    record = {"clip": "a.mp4", "how": "moved", "ms": "250", "way": "Delayed", "scene": "dog", "talk": "t1"}
    metadata = write(tmp_path / "list.jsonl", record)
    names = ("video=clip", "edit=how", "offset=ms", "direction=way", "kind=scene", "group=talk")
    options = [word for name in names for word in ("--column", name)]
    (line,) = lines_of(metadata, tmp_path / "out", *options, "--edit", "moved", "--with-offsets")
    assert (line.path, line.kind, line.group, line.injected_offsets_ms) == ("../a.mp4", "dog", "t1", (0, -250))
    refused = convert(metadata, tmp_path / "x", "--column", "film=clip")
    assert (refused.exit_code, "NAME one of video" in refused.output) == (2, True)


@pytest.mark.parametrize(
    ("direction", "sign"), [("advance", 1), ("Advanced", 1), ("delay", -1), ("delayed", -1), ("delayed by 500 ms", -1)]
)
def test_directions(direction: str, sign: int, tmp_path: Path) -> None:
    metadata = write(tmp_path / "list.jsonl", {**FIXTURE, "direction": direction})
    (line,) = lines_of(metadata, tmp_path / "out", "--with-offsets")
    assert line.injected_offsets_ms == (0, 500 * sign)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"original_video": ""}, "has no 'original_video'"),
        ({"original_video": "../x.mp4"}, "expected one below"),
        ({"original_audio": "/x.wav"}, "expected one below"),
        ({"offset_ms": None, "edited_audio": "a.wav"}, "says no offset"),
        ({"offset_ms": 0}, "says no offset"),
        ({"offset_ms": "soon"}, "says no offset"),
        ({"direction": "up"}, "says no offset"),
        ({"edit_type": "jitter"}, "its edits are jitter"),
    ],
)
def test_what_is_refused(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    """Nothing is guessed, and nothing is written."""
    refused = convert(write(tmp_path / "list.jsonl", {**FIXTURE, **change}), tmp_path / "out")
    assert (refused.exit_code, reason in refused.output) == (1, True), refused.output
    assert not (tmp_path / "out").exists()


def test_what_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "list.jsonl").write_text("[1]\n")
    refused = convert(tmp_path / "list.jsonl", tmp_path / "out")
    assert (refused.exit_code, "is not a JSON object" in refused.output) == (1, True)


def test_the_manifest_is_tested(tmp_path: Path) -> None:
    """A video with sound, one whose sound is a file of its own, and one that is missing, through `eval sync`."""
    write_clip(tmp_path / "own.mkv", seconds=5.0)
    write_clip(tmp_path / "mute.mp4", seconds=5.0, seed=2, tracks=("video",))
    with (tmp_path / "mute.wav").open("wb") as stream:
        write_pcm16(stream, make_audio(0.0, 80_000, seed=2))
    records = [
        {**FIXTURE, "original_video": "own.mkv"},
        {**FIXTURE, "original_video": "mute.mp4", "original_audio": "mute.wav"},
        {**FIXTURE, "original_video": "gone.mp4", "original_audio": "mute.wav"},
    ]
    metadata = write(tmp_path / "metadata.jsonl", *records)
    result = convert(metadata, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "rejected: " in result.output
    assert "gone.mp4" in result.output
    joined = tmp_path / "out" / "clips" / "1" / "mute.mkv"
    assert abs(len(read_audio(joined)) - 80_000) < 100
    with MediaReader(joined) as reader:
        assert sum(hasattr(item, "rgb") for item in reader) == 125
    meter = write_fake_bundle(tmp_path / "meter")
    command = ["eval", "sync", tmp_path / "out" / "manifest.jsonl", "--bundle", meter, "--json", tmp_path / "a.json"]
    done = CliRunner().invoke(main, [*map(str, command)])
    assert done.exit_code == 0, done.output
    metrics = json.loads((tmp_path / "a.json").read_text())["metrics"]
    assert metrics["meter.two_choice_50_ms"]["value"] == metrics["meter.two_choice_500_ms"]["value"] == 1.0
    assert metrics["meter.two_choice_50_ms"]["count"] == 2
