"""`cavsync-score` writes the JSON lines of `cavsync score --json -`, and refuses what it cannot judge."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from face_clips import LEFT, RIGHT, closed, frames_of, speaking
from fake_bundle import write_fake_bundle
from generated_clips import make_clips
from sync_clips import make_audio, write_clip

from cavsync.deploy import Bundle
from cavsync.deploy.files.score_file import score_file
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.deploy.sinks.text import objects_of
from cavsync.deploy.verdict.face_view import FaceView

FAILURE, USAGE = 1, 2
# Fields that say which software computed, or that only Python has.
OTHER_FIELDS = ("versions", "notes", "media")


def run(
    build: Path, *arguments: object, given: bytes | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Score with the packaged bundle by the whole picture, unless the arguments say otherwise."""
    command = [build / "cavsync-score", "--bundle", default_bundle(), "--path", "whole", *map(str, arguments)]
    environment = {**os.environ, **(environment or {})}
    found = subprocess.run(command, input=given, capture_output=True, check=False, env=environment)
    return subprocess.CompletedProcess(command, found.returncode, found.stdout.decode(), found.stderr.decode())


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def clip(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_clips(tmp_path_factory.mktemp("clips"), 1, seed=21, duration_seconds=6.0, max_offset_ms=400.0)
    return next(iter(folder.glob("*.mp4")))


def remuxed(source: Path, target: Path, *, audio_tracks: int = 1, **options: str) -> Path:
    with av.open(str(source)) as given, av.open(str(target), "w", options=options) as made:
        video = made.add_stream_from_template(given.streams.video[0])
        audio = [made.add_stream_from_template(given.streams.audio[0]) for _ in range(audio_tracks)]
        for packet in given.demux(given.streams.video[0], given.streams.audio[0]):
            if packet.dts is None:
                continue
            for track in [video] if packet.stream.type == "video" else audio:
                packet.stream = track
                made.mux(packet)
    return target


@pytest.fixture(scope="module")
def face_bundle(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_bundle(tmp_path_factory.mktemp("faces"), face_places=(LEFT, RIGHT))


@pytest.fixture(scope="module")
def talking_clip(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A speaking face beside a silent one, with sound that is late."""
    times = np.arange(200) / 25
    samples = make_audio(0.0, 8 * 16_000, audio_offset_ms=-240.0)
    path = tmp_path_factory.mktemp("talking") / "clip.mkv"
    return write_clip(path, frames=frames_of(speaking(times), closed(times)), samples=samples, audio_rate_hz=16_000)


def assert_lines_of_python(found: subprocess.CompletedProcess[str], wanted: list[dict[str, Any]]) -> None:
    assert (found.returncode, found.stderr) == (0, "")
    for line, other in zip(lines(found.stdout), wanted, strict=True):
        assert [name for name in line if name not in OTHER_FIELDS] == [
            name for name in other if name not in OTHER_FIELDS
        ]
        for name, value in other.items():
            if name not in OTHER_FIELDS:
                tolerance = 1.0 if name.endswith("_ms") else 1e-3
                assert line[name] == (pytest.approx(value, abs=tolerance) if isinstance(value, float) else value), name
    assert lines(found.stdout)[-1]["bundle"] == wanted[-1]["bundle"]


def test_the_lines_are_those_of_python(build: Path, clip: Path) -> None:
    wanted = objects_of(score_file(clip, Bundle.open(threads=1), path="whole"))
    assert_lines_of_python(run(build, clip), wanted)


@pytest.mark.parametrize("path", ["auto", "face", "whole"])
def test_faces_are_judged_as_in_python(build: Path, face_bundle: Path, talking_clip: Path, path: str) -> None:
    wanted = objects_of(score_file(talking_clip, Bundle.open(face_bundle, threads=1), path=path))
    assert wanted[-1]["path_share"] == ({"face": 0.0, "whole": 1.0} if path == "whole" else {"face": 1.0, "whole": 0.0})
    assert_lines_of_python(run(build, "--bundle", face_bundle, "--path", path, talking_clip), wanted)


@pytest.mark.parametrize("path", ["auto", "whole"])
def test_faces_are_shown(build: Path, face_bundle: Path, talking_clip: Path, path: str) -> None:
    """Where Python's records have them; without the option, the lines are those of Python's command."""
    wanted = score_file(talking_clip, Bundle.open(face_bundle, threads=1), path=path)
    found = lines(run(build, "--bundle", face_bundle, "--path", path, "--faces", talking_clip).stdout)
    views = [record.face for record in (*wanted.records, wanted.summary.score)]
    assert all(view is None for view in views) == (path == "whole")
    for line, view in zip(found, views, strict=True):
        assert line["face"] == (None if view is None else face_object(view))


def face_object(view: FaceView) -> dict[str, Any]:
    """A face as the program writes it."""
    return {
        "track": view.track,
        "box": pytest.approx(view.box, abs=0.06),
        "frame_size": list(view.frame_size),
        "eye_distance_px": pytest.approx(view.eye_distance_px, abs=0.06),
        "presence": pytest.approx(view.presence, abs=1e-4),
        "frontality": pytest.approx(view.frontality, abs=1e-4),
        "opening_range": pytest.approx(view.lips.opening_range, abs=1e-4),
        "steadiness": None if math.isnan(view.lips.steadiness) else pytest.approx(view.lips.steadiness, abs=1e-3),
        "share": pytest.approx(view.share, abs=1e-4),
    }


def test_auto_is_the_default(build: Path, face_bundle: Path, talking_clip: Path) -> None:
    command = [build / "cavsync-score", "--bundle", face_bundle, talking_clip]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == run(build, "--bundle", face_bundle, "--path", "auto", talking_clip).stdout


@pytest.mark.parametrize("path", ["auto", "whole"])
def test_the_adaptive_search_is_that_of_python(build: Path, face_bundle: Path, talking_clip: Path, path: str) -> None:
    wanted = objects_of(score_file(talking_clip, Bundle.open(face_bundle, threads=1), path=path, adaptive=True))
    assert_lines_of_python(run(build, "--bundle", face_bundle, "--path", path, "--adaptive", talking_clip), wanted)


def test_standard_input(build: Path, clip: Path, tmp_path: Path) -> None:
    matroska = remuxed(clip, tmp_path / "clip.mkv")
    found = run(build, "-", given=matroska.read_bytes())
    assert found.returncode == 0
    assert [{**line, "source": str(matroska)} for line in lines(found.stdout)] == lines(run(build, matroska).stdout)


def test_options_reach_the_library(build: Path, clip: Path) -> None:
    options = ("--profile", "custom", "--early-ms", 1, "--late-ms", 900, "--window-seconds", 3, "--hop-ms", 40)
    record = lines(run(build, *options, clip).stdout)[0]
    assert (record["profile"], record["window_seconds"]) == ("custom", 3.0)


def test_failed_files_give_a_line_and_a_status(build: Path, clip: Path, tmp_path: Path) -> None:
    empty, cut, silent = tmp_path / "empty.mp4", tmp_path / "cut.mkv", tmp_path / "silent.mp4"
    empty.touch()
    whole = remuxed(clip, tmp_path / "whole.mkv").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    with av.open(str(silent), "w") as made:
        track = made.add_stream("mpeg4", rate=25)
        track.width = track.height = 64
        for _ in range(10):
            made.mux(track.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        made.mux(track.encode(None))
    two = remuxed(clip, tmp_path / "two.mkv", audio_tracks=2)
    found = run(build, empty, cut, silent, two, tmp_path / "missing.mp4", clip)
    assert found.returncode == FAILURE
    last = {Path(line["source"]).name: line for line in lines(found.stdout)}
    reasons = {
        "empty.mp4": "is empty",
        "cut.mkv": "is truncated",
        "silent.mp4": "has no audio track",
        "two.mkv": "several audio tracks",
        "missing.mp4": "does not exist",
    }
    for name, reason in reasons.items():
        assert last[name]["kind"] == "error"
        assert reason in last[name]["error"]
    assert last[clip.name]["kind"] == "summary"
    assert lines(run(build, "--audio-stream", 1, two).stdout)[-1]["audio_stream"] == "1"


def test_a_file_that_needs_too_much_memory_is_an_error_of_its_own(build: Path, clip: Path, tmp_path: Path) -> None:
    """A picture of the large file takes 12 MB in RGB; no model of the bundle is that large."""
    large = tmp_path / "large.mkv"
    frames, samples = np.zeros((2, 2000, 2000, 3), np.uint8), make_audio(0.0, 16_000)
    write_clip(large, frames=frames, samples=samples, audio_rate_hz=16_000)
    scarce = {"LD_PRELOAD": str(build / "libscarce_memory.so"), "CAVSYNC_LARGEST_NEW": "10000000"}
    found = run(build, large, clip, environment=scarce)
    assert found.returncode == FAILURE
    first, *rest = lines(found.stdout)
    assert (first["kind"], first["source"]) == ("error", str(large))
    assert "needs more memory than there is" in first["error"]
    assert rest == lines(run(build, clip).stdout)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "no file is named"),
        (["--hop-ms", "many", "x.mp4"], "--hop-ms is not a number"),
        (["--profile", "no-such", "x.mp4"], "is unknown"),
        (["--path", "both", "x.mp4"], "--path is unknown"),
        (["--threads", "0.5", "x.mp4"], "--threads is 0.5: give a whole number"),
        (["--threads", "nan", "x.mp4"], "--threads is nan: give a whole number"),
        (["--threads", "1e20", "x.mp4"], "--threads is 1e20: give a whole number"),
        (["--threads", "99999999999999999999", "x.mp4"], "give a whole number"),
        (["--threads", "2000000000", "x.mp4"], "threads is 2000000000: give 0 to 1024"),
        (["--audio-stream", "0.5", "x.mp4"], "--audio-stream is 0.5: give a whole number from 0"),
        (["--audio-stream", "-1", "x.mp4"], "--audio-stream is -1: give a whole number from 0"),
        (["--begin-after", "99999999999999999999", "--events", "x.mp4"], "give a whole number from 1"),
    ],
)
def test_wrong_usage(build: Path, arguments: list[str], sentence: str) -> None:
    found = run(build, *arguments)
    assert found.returncode == USAGE
    assert sentence in found.stderr
