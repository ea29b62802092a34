"""Verdicts on files with faces: the speaking face of each moment, both paths combined, and what reports need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_clips import LEFT, RIGHT, absent, closed, frames_of, speaking
from fake_bundle import write_fake_bundle
from fake_heads import CLOSED, OPENED
from sync_clips import course, make_audio, write_clip

from cavsync.deploy import Bundle, FileScore, score_file
from cavsync.deploy.stream.scorer import NO_FACE
from cavsync.deploy.verdict.paths import SURE_ALONE

Array = np.ndarray[Any, Any]
RATE_HZ = 16_000
SECONDS = 10.0


def clip(path: Path, left: Array, right: Array, offset_ms: Any) -> Path:
    samples = make_audio(0.0, round(SECONDS * RATE_HZ), audio_offset_ms=offset_ms)
    return write_clip(path, frames=frames_of(left, right), samples=samples, audio_rate_hz=RATE_HZ)


@pytest.fixture(scope="module")
def times() -> Array:
    return np.arange(round(SECONDS * 25)) / 25


@pytest.fixture(scope="module")
def dialogue(face_bundle: Bundle, times: Array, tmp_path_factory: pytest.TempPathFactory) -> FileScore:
    """The left face speaks for five seconds, then the right one."""
    is_early = times < SECONDS / 2
    left = np.where(is_early, speaking(times), closed(times))
    right = np.where(is_early, closed(times), speaking(times))
    path = clip(tmp_path_factory.mktemp("clip") / "dialogue.mkv", left, right, 150.0)
    return score_file(path, face_bundle, path="face")


def test_the_speaking_face_changes_and_the_offset_stays(dialogue: FileScore) -> None:
    score = dialogue.summary.score
    assert (score.path, score.state, score.is_measured) == ("face", "audio_early", True)
    assert score.audio_offset_ms == pytest.approx(150, abs=5)
    assert (dialogue.summary.path_share, dialogue.summary.num_faces) == ({"face": 1.0, "whole": 0.0}, 2)
    face = dialogue.face
    assert face is not None
    of_left = face.tracks[face.times_seconds < 4.0]
    of_right = face.tracks[face.times_seconds > 6.0]
    assert (of_left.mean() < 0.1, of_right.mean() > 0.9) == (True, True)
    summary = dialogue.summary.to_dict()
    assert (summary["path"], summary["path_share"], summary["num_faces"]) == ("face", {"face": 1.0, "whole": 0.0}, 2)


def test_reports_get_mouth_sound_and_place(dialogue: FileScore, times: Array) -> None:
    face = dialogue.face
    assert face is not None
    assert face.frame_size == (192, 96)
    assert len(face.times_seconds) == len(face.tracks) == len(face.boxes) == len(face.mouth_opening)
    middle = (face.times_seconds > 1) & (face.times_seconds < 4)
    wanted = CLOSED + OPENED * np.interp(face.times_seconds[middle], times, speaking(times)) / 255
    np.testing.assert_allclose(face.mouth_opening[middle], wanted, atol=2e-3)
    # The sound is early by 150 ms: what is seen at t was heard 150 ms before.
    heard = np.interp(face.times_seconds[middle] - 0.15, face.times_seconds, face.sound_dbfs)
    assert np.corrcoef(heard, face.mouth_opening[middle])[0, 1] > 0.97
    left = face.boxes[face.tracks == 0]
    np.testing.assert_allclose(left, np.broadcast_to([28.8, 28.8, 67.2, 67.2], left.shape), atol=0.1)
    assert face.heat_map.similarity.shape == (len(face.heat_map.times_seconds), len(face.heat_map.lags_ms))
    np.testing.assert_array_equal(dialogue.heat_map.similarity, face.heat_map.similarity)


def test_one_person_after_a_cut_is_one_face(face_bundle: Bundle, times: Array, tmp_path: Path) -> None:
    """Faces are counted in one frame, and still lips stay still though the next face's are wider open."""
    is_early = times < SECONDS / 2
    left, right = (
        np.where(is_early, closed(times), absent(times)),
        np.where(is_early, absent(times), closed(times) + 60),
    )
    score = score_file(clip(tmp_path / "cut.mkv", left, right, 0.0), face_bundle, path="face")
    assert (score.summary.num_faces, score.summary.path_share["face"]) == (1, 1.0)
    face = score.face
    assert face is not None
    assert set(face.tracks) == {0, 1}
    assert np.ptp(face.mouth_opening) > 0.05
    assert face.view.lips.opening_range < 0.001
    assert not score.summary.score.is_measured


def test_an_offset_that_jumps_is_called_varying(face_bundle: Bundle, times: Array, tmp_path: Path) -> None:
    path = clip(
        tmp_path / "jump.mkv", speaking(times), closed(times), lambda at: np.where(at < SECONDS / 2, 200.0, -200.0)
    )
    score = score_file(path, face_bundle, path="face").summary.score
    assert (score.is_varying, score.is_measured, score.suggested_audio_delay_ms) == (True, False, None)
    assert score.path == "face"
    assert "varies from" in (score.reason or "")


def test_paths_that_contradict_each_other_give_no_verdict(face_bundle: Bundle, times: Array, tmp_path: Path) -> None:
    """A mouth moves 200 ms before its sound, everything around the two faces 200 ms after it."""
    around = np.round(20 + 120 * course(times - 0.2))
    frames = frames_of(around, around)
    # The square that the mesh sees is 58 pixels wide.
    frames[:, 18:78, 18:78] = speaking(times + 0.2)[:, None, None, None]
    frames[:, 18:78, 114:174] = closed(times)[:, None, None, None]
    samples = make_audio(0.0, round(SECONDS * RATE_HZ))
    path = write_clip(tmp_path / "two.mkv", frames=frames, samples=samples, audio_rate_hz=RATE_HZ)
    faces, whole = (score_file(path, face_bundle, path=one).summary.score for one in ("face", "whole"))
    assert faces.is_measured
    assert whole.is_measured
    assert abs((faces.audio_offset_ms or 0) - (whole.audio_offset_ms or 0)) > 300
    score = score_file(path, face_bundle).summary.score
    assert (score.state, score.is_measured, score.suggested_audio_delay_ms) == ("undetermined", False, None)
    assert "the face says" in (score.reason or "")
    assert "and the whole picture" in (score.reason or "")


def test_a_file_without_faces_is_judged_as_before(bundle: Bundle, times: Array, tmp_path: Path) -> None:
    """Where the whole picture is very sure."""
    path = write_clip(tmp_path / "plain.mkv", seconds=6.0, audio_offset_ms=60.0)
    auto, whole = (score_file(path, bundle, path=one).summary.to_dict() for one in ("auto", "whole"))
    assert auto == whole
    assert (auto["path"], auto["path_share"], auto["num_faces"]) == ("whole", {"face": 0.0, "whole": 1.0}, 0)
    assert score_file(path, bundle).face is None
    sure = Bundle.open(
        write_fake_bundle(tmp_path / "sure", bias=1.0, threshold=SURE_ALONE, face_places=(LEFT, RIGHT)), threads=1
    )
    # A light between the places of the faces.
    columns = [absent(times)] * 2 + [255 * course(times)] + [absent(times)] * 2
    lamp = write_clip(tmp_path / "lamp.mkv", seconds=SECONDS, audio_offset_ms=60.0, frames=frames_of(*columns))
    auto, whole, face = (score_file(lamp, sure, path=one).summary for one in ("auto", "whole", "face"))
    assert auto.to_dict() == whole.to_dict()
    assert auto.score.is_measured
    assert (face.score.is_measured, face.score.audio_offset_ms, face.num_faces) == (False, None, 0)
    assert face.score.reason == NO_FACE


def test_curves_of_the_windows_are_kept_where_they_are_asked_for(
    face_bundle: Bundle, times: Array, tmp_path: Path
) -> None:
    path = clip(tmp_path / "clip.mkv", speaking(times), closed(times), 80.0)
    plain, full = score_file(path, face_bundle), score_file(path, face_bundle, keep_curves=True)
    assert [record.to_dict() for record in plain.records] == [record.to_dict() for record in full.records]
    assert plain.summary.to_dict() == full.summary.to_dict()
    assert plain.summary.score.curve is not None
    for record, whole in zip(plain.records, full.records, strict=True):
        kept = [one for decision in (record, *record.faces) for one in (decision.curve, decision.features)]
        assert kept == [None] * len(kept)
        assert [face.face for face in record.faces] == [face.face for face in whole.faces]
        assert len(record.faces) == 2
        assert None not in [one for decision in (whole, *whole.faces) for one in (decision.curve, decision.features)]


def test_the_file_has_a_calibration_of_its_own(times: Array, tmp_path: Path) -> None:
    """A threshold that no window reaches leaves the file's verdict to the file's calibration."""
    opened = Bundle.open(write_fake_bundle(tmp_path / "b", face_places=((0.25, 0.5), (0.75, 0.5))), threads=1)
    faces = opened.manifest.faces
    assert faces is not None
    assert faces.calibration is not None
    strict, easy = replace(faces.calibration, threshold=1.0), replace(faces.calibration, threshold=0.1)
    path = clip(tmp_path / "one.mkv", speaking(times), closed(times), 0.0)
    for windows, whole_file, is_measured in ((strict, easy, True), (strict, None, False), (strict, strict, False)):
        manifest = replace(opened.manifest, faces=replace(faces, calibration=windows, file_calibration=whole_file))
        spec = manifest.faces
        assert opened.faces is not None
        assert spec is not None
        found = score_file(
            path, replace(opened, manifest=manifest, faces=replace(opened.faces, spec=spec)), path="face"
        )
        assert not any(record.is_measured for record in found.records)
        assert found.summary.score.is_measured == is_measured
