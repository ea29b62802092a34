"""The calibration of the face path on talking clips whose answer is known, through graphs whose answer is known."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from face_clips import MIDDLE, absent, frames_of, speaking
from fake_bundle import write_fake_bundle
from sync_clips import make_audio, write_clip

from cavsync.deploy import Bundle
from cavsync.deploy.stream.face_grid import FaceLook
from cavsync.deploy.stream.face_path import FaceRow
from cavsync.deploy.verdict.curve import FloatArray, lag_grid_ms
from cavsync.deploy.verdict.face_view import STILL_OPENING
from cavsync.export.faces.calibrate import GOAL, FaceCalibration, _file_curve, _window_curve, calibrate_faces
from cavsync.export.faces.clip_stream import Clip, play
from cavsync.media.align import SAMPLE_RATE_HZ

SECONDS = 4.0
TIMES = np.arange(round(SECONDS * 25)) / 25
OFFSET_MS = 80.0


def talking_clip(path: Path, seed: int, *, offset_ms: float = 0.0, is_seen: bool = True) -> Path:
    path.parent.mkdir(exist_ok=True)
    frames = frames_of(speaking(TIMES, seed) if is_seen else absent(TIMES), width=64, height=64)
    samples = make_audio(0.0, round(SECONDS * SAMPLE_RATE_HZ), seed=seed, audio_offset_ms=offset_ms)
    return write_clip(path, frames=frames, samples=samples, audio_rate_hz=SAMPLE_RATE_HZ)


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An uncalibrated bundle that sees a face in the middle of every frame that is not black."""
    folder = tmp_path_factory.mktemp("meter")
    return Bundle.open(write_fake_bundle(folder, calibrated=False, face_places=(MIDDLE,)), threads=1)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [talking_clip(folder / f"{seed}.mkv", seed) for seed in range(5)]


@pytest.fixture(scope="module")
def found(meter: Bundle, clips: list[Path]) -> FaceCalibration:
    calibration = calibrate_faces(meter, clips, source="made up")
    assert calibration is not None
    return calibration


def test_windows_and_files_are_calibrated(found: FaceCalibration, clips: list[Path]) -> None:
    """Right answers are accepted, the audio of others is not, and there is no offset where there is none."""
    assert found.num_clips == len(clips)
    for report in (found.windows, found.files):
        assert report.calibration.source == "made up"
        assert report.calibration.num_clips == len(clips)
        assert report.calibration.num_windows > 50
        # Half of the examples are disturbed.
        assert report.accepted_share > 0.5
        assert report.false_accepted_share <= GOAL.max_false_accepted
        assert report.precision >= GOAL.precision
        assert report.calibration.resolution_ms <= 20


def test_it_is_the_same_every_time(found: FaceCalibration, meter: Bundle, clips: list[Path]) -> None:
    again = calibrate_faces(meter, clips, source="made up")
    assert again == found


def test_clips_that_tell_their_offset(meter: Bundle, tmp_path: Path) -> None:
    """All audio is early by what truth.jsonl says: no error is left. Where it says nothing, that is the error of all
    clips, which is taken to be the footage's, not the model's."""
    for folder, stated_ms in (("told", OFFSET_MS), ("untold", 0.0)):
        clips = [talking_clip(tmp_path / folder / f"{seed}.mkv", seed, offset_ms=OFFSET_MS) for seed in range(4)]
        lines = [json.dumps({"file": clip.name, "audio_offset_ms": stated_ms}) for clip in clips]
        (tmp_path / folder / "truth.jsonl").write_text("\n".join(lines) + "\n")
        found = calibrate_faces(meter, clips, source="made up")
        assert found is not None
        for report in (found.windows, found.files):
            assert report.calibration.zero_point_ms == 0
            assert report.calibration.resolution_ms == pytest.approx(max(5, OFFSET_MS - stated_ms), abs=12)


def test_clips_without_a_face_are_left_out(meter: Bundle, clips: list[Path], tmp_path: Path,
                                           caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    """Four of five are enough, three are not; a file that is no clip is left out as well."""
    dark = talking_clip(tmp_path / "dark.mkv", 9, is_seen=False)
    text = tmp_path / "text.mkv"
    text.write_text("no clip")
    with caplog.at_level(logging.WARNING):
        found = calibrate_faces(meter, [*clips[:4], dark], source="made up")
    assert found is not None
    assert found.num_clips == 4
    assert [record.getMessage() for record in caplog.records] == [
        f"not used to calibrate the face path: {dark} shows no face, or for too short a time"
    ]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert calibrate_faces(meter, [*clips[:3], dark, text], source="made up") is None
    assert "3 clips with a face are too few to calibrate the face path, 4 are needed" in caplog.records[-1].getMessage()


def test_clips_follow_one_another_in_the_stream(meter: Bundle, clips: list[Path]) -> None:
    """Each starts where the one before ends, and rows peak at the lag of the audio's shift, in all of them."""
    stream = play(
        meter, [Clip(path, path) for path in clips[:3]], max_lag_ms=600.0, audio_shift_ms=35.0, max_clip_seconds=30.0
    )
    assert stream.starts_seconds == pytest.approx([0, SECONDS, 2 * SECONDS], abs=0.05)
    for start in stream.starts_seconds:
        rows = [row.similarity for row in stream.rows if start + 1 < row.time_seconds < start + SECONDS - 1]
        assert len(rows) > 40
        peak = stream.lags_ms[np.nanmean(rows, axis=0).argmax()]
        # A shift by which the audio is late is found at a positive lag.
        assert peak == pytest.approx(35, abs=20)


def test_the_audio_of_another_clip_starts_with_the_pictures(meter: Bundle, clips: list[Path]) -> None:
    stream = play(meter, [Clip(clips[0], clips[1]), Clip(clips[1], clips[0])], max_lag_ms=600.0, audio_shift_ms=0.0,
                  max_clip_seconds=3.0)  # fmt: skip
    assert stream.starts_seconds == pytest.approx([0, 3.04], abs=0.05)
    similarity = np.nanmean([row.similarity for row in stream.rows], axis=0)
    assert similarity.max() < 0.95


def rows_of(track: int, height: float, lags_ms: FloatArray, first: float = 0.0, opening: float = 0.1) -> list[FaceRow]:
    """A second of a face that matches the sound at +80 ms by `height`, with lips that open by `opening`."""
    random, rows = np.random.default_rng(track), []
    for index in range(25):
        similarity = height * np.exp(-(((lags_ms - 80) / 60) ** 2)) + random.normal(0, 0.05, len(lags_ms))
        look = FaceLook(1.0, 1.0, 60.0, opening * np.sin(index / 2), (0.0, 0.0, 9.0, 9.0), (9, 9))
        rows.append(FaceRow(track, first + index / 25, 0, similarity, -20.0, -20.0, look))
    return rows


def test_of_several_faces_the_one_that_scoring_takes_is_calibrated_on(meter: Bundle) -> None:
    """The best match, though another face is there for longer; in a file at each time; none whose lips do not move."""
    lags_ms = lag_grid_ms(600, 40)
    other = [*rows_of(0, 0.0, lags_ms), *rows_of(0, 0.0, lags_ms, first=1.0)]
    speaker = rows_of(1, 1.0, lags_ms)
    both = sorted([*other, *speaker], key=lambda row: (row.time_seconds, row.track))
    window, whole = (curve_of(meter, both, lags_ms) for curve_of in (_window_curve, _file_curve))
    assert window is not None
    assert whole is not None
    # Blocks of half a second: the row of the other at 1.0 s lies in one in which the speaker is chosen.
    assert (window.num_frames, whole.num_frames) == (25, 49)
    for curve in (window, whole):
        assert curve.peak_lag_ms == pytest.approx(80, abs=10)
    still = rows_of(1, 1.0, lags_ms, opening=STILL_OPENING / 3)
    assert [curve_of(meter, still, lags_ms) for curve_of in (_window_curve, _file_curve)] == [None, None]
