"""The rules by which the whole picture and the faces in it give one verdict."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cavsync.deploy.verdict.confidence import Evidence
from cavsync.deploy.verdict.curve import Curve, curve_of_rows, lag_grid_ms
from cavsync.deploy.verdict.face_view import (
    HARDLY_MOVE,
    JITTER,
    JITTERING_OPENING,
    LITTLE_OPENING,
    MIN_EYE_DISTANCE_PX,
    MIN_FRONTALITY,
    STILL_OPENING,
    FaceView,
    LipMotion,
)
from cavsync.deploy.verdict.paths import SURE_ALONE, combine, judge_face, tolerance_ms
from cavsync.deploy.verdict.profiles import resolve_profile
from cavsync.deploy.verdict.records import AUDIO_EARLY, FACE, UNDETERMINED, WHOLE, SyncScore
from cavsync.manifest import Calibration

PROFILE = resolve_profile("ebu-r37")
TOLERANCE_MS = 60.0
LAGS = lag_grid_ms(600, 40)
CALIBRATION = Calibration(["peak_z"], [0.5], -3.0, 0.6, 40.0, 10.0, 0.0, 1, 1, "made up")
VIEW = FaceView(0, (10, 20, 60, 90), (192, 96), 1.0, 0.9, 60.0, LipMotion(0.2, 0.4), 1.0)


def curve(offset_ms: float, height: float = 1.0, num_rows: int = 50) -> Curve:
    noise = np.random.default_rng(0).normal(0, 0.05, (num_rows, len(LAGS)))
    return curve_of_rows(LAGS, height * np.exp(-(((LAGS + offset_ms) / 60) ** 2)) + noise)


def evidence(level_dbfs: float, range_db: float) -> Evidence:
    levels = np.linspace(level_dbfs - range_db / 2, level_dbfs + range_db / 2, 50)
    return Evidence(None, levels, np.full(50, 0.04))


def face(
    offset_ms: float = 100.0,
    height: float = 1.0,
    view: FaceView = VIEW,
    level_dbfs: float = -20.0,
    range_db: float = 20.0,
) -> SyncScore:
    return judge_face(
        curve(offset_ms, height),
        view,
        evidence(level_dbfs, range_db),
        CALIBRATION,
        PROFILE,
        time_seconds=2.0,
        window_seconds=2.0,
    )


def whole(offset_ms: float | None = 100.0, *, is_measured: bool = True) -> SyncScore:
    state = AUDIO_EARLY if is_measured else UNDETERMINED
    delay_ms = offset_ms if is_measured else None
    reason = None if is_measured else "the video is static"
    within = False if is_measured else None
    return SyncScore(
        2.0, 2.0, offset_ms, 20.0, delay_ms, 0.5, 0.8, state, "ebu-r37", within, reason, WHOLE, is_measured
    )


NONE, WEAK = 0.0, 0.03


@pytest.mark.parametrize(("confidence", "is_trusted"), [(SURE_ALONE, True), (SURE_ALONE - 0.001, False)])
def test_without_a_face_the_whole_picture_must_be_very_sure(confidence: float, is_trusted: bool) -> None:
    score = combine(replace(whole(), confidence=confidence), [], TOLERANCE_MS)
    assert score.is_measured is is_trusted
    assert (score.state, score.suggested_audio_delay_ms) == (
        (AUDIO_EARLY, 100.0) if is_trusted else (UNDETERMINED, None)
    )
    assert is_trusted or (score.reason is not None and "no face is seen" in score.reason and "+100 ms" in score.reason)
    undecided = whole(is_measured=False)
    assert combine(undecided, [], TOLERANCE_MS) is undecided


def test_a_face_decides_alone() -> None:
    score = combine(whole(is_measured=False), [face()], TOLERANCE_MS)
    assert (score.path, score.state, score.is_measured, score.face) == (FACE, AUDIO_EARLY, True, VIEW)
    assert score.audio_offset_ms == pytest.approx(100, abs=3)
    assert score.suggested_audio_delay_ms == score.audio_offset_ms
    assert score.to_dict()["path"] == "face"


def test_the_whole_picture_decides_where_the_face_does_not() -> None:
    weak = face(height=WEAK)
    assert not weak.is_measured
    score = combine(whole(), [weak], TOLERANCE_MS)
    assert (score.path, score.state, score.audio_offset_ms) == (WHOLE, AUDIO_EARLY, 100.0)
    assert score.faces == (weak,)
    assert score.face == VIEW


@pytest.mark.parametrize(
    ("confidence", "offset_ms", "view", "is_measured"),
    [
        (SURE_ALONE, 300.0, VIEW, True),
        (0.98, 300.0, VIEW, False),
        # The best match of the face, too weak to be decided on, lies at 100 ms.
        (0.7, 120.0, VIEW, True),
        (SURE_ALONE, 300.0, replace(VIEW, frontality=MIN_FRONTALITY / 2), True),
        (SURE_ALONE, 300.0, replace(VIEW, lips=LipMotion(STILL_OPENING / 2, 0.4)), True),
        (0.98, 300.0, replace(VIEW, frontality=MIN_FRONTALITY / 2), False),
        (0.98, 100.0, replace(VIEW, lips=LipMotion(STILL_OPENING / 2, 0.4)), False),
    ],
)
def test_beside_speaking_lips_the_whole_picture_must_be_very_sure_or_supported(
    confidence: float, offset_ms: float, view: FaceView, is_measured: bool
) -> None:
    weak = face(height=0.12, view=view)
    assert not weak.is_measured
    score = combine(replace(whole(offset_ms), confidence=confidence), [weak], TOLERANCE_MS)
    assert (score.path, score.is_measured, score.audio_offset_ms) == (WHOLE, is_measured, offset_ms)
    if not is_measured:
        assert (score.state, score.suggested_audio_delay_ms) == (UNDETERMINED, None)
        assert score.reason is not None
        assert ("the lips that are seen do not fit" if view is VIEW else "no face is seen well enough") in score.reason


def test_where_both_agree_the_face_is_taken() -> None:
    score = combine(whole(130.0), [face()], TOLERANCE_MS)
    assert (score.path, score.is_measured) == (FACE, True)
    assert score.audio_offset_ms == pytest.approx(100, abs=3)


def test_two_offsets_that_differ_are_none() -> None:
    score = combine(whole(-200.0), [face()], TOLERANCE_MS)
    assert (score.state, score.is_measured, score.within_profile) == (UNDETERMINED, False, None)
    assert (score.suggested_audio_delay_ms, score.confidence) == (None, None)
    assert score.reason is not None
    assert score.reason.startswith("the face says +")
    assert score.reason.endswith(" ms and the whole picture -200 ms")


def test_the_tolerance_is_the_larger_one() -> None:
    assert tolerance_ms(CALIBRATION, None, replace(CALIBRATION, tolerance_ms=70.0)) == 70
    assert tolerance_ms(None, None) == 0
    near, far = whole(100 - 55.0), whole(100 - 65.0)
    assert combine(near, [face()], TOLERANCE_MS).is_measured
    assert not combine(far, [face()], TOLERANCE_MS).is_measured


def test_the_face_of_the_highest_confidence_speaks() -> None:
    other = replace(VIEW, track=1)
    silent, loud = face(height=WEAK), face(-100.0, view=other)
    score = combine(whole(is_measured=False), [silent, loud], TOLERANCE_MS)
    assert score.face == other
    assert score.audio_offset_ms == pytest.approx(-100, abs=3)
    assert [item.face for item in score.faces] == [VIEW, other]


LITTLE, STILL = LipMotion(LITTLE_OPENING - 0.001, 0.4), LipMotion(STILL_OPENING - 0.001, -0.4)
JITTERING, HIDDEN = LipMotion(JITTERING_OPENING, -0.1), LipMotion(JITTERING_OPENING - 0.001, -0.1)
NO_OFFSET = (
    "lips and sound move, but no offset within ±600 ms fits clearly (dubbed, another speaker, an offset beyond the "
    "range, or too little speech)"
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frontality": MIN_FRONTALITY - 0.01, "lips": STILL}, "turned away"),
        ({"eye_distance_px": MIN_EYE_DISTANCE_PX - 1}, "too small (15 pixels between the eyes, at least 16"),
        ({"lips": STILL}, HARDLY_MOVE),
        ({"lips": LITTLE}, HARDLY_MOVE),
        ({"lips": JITTERING}, JITTER),
        ({"lips": HIDDEN}, JITTER),
        ({"lips": LipMotion(0.2, math.nan)}, NO_OFFSET),
        ({}, NO_OFFSET),
    ],
)
def test_where_neither_decides_the_face_gives_the_reason(change: dict[str, Any], words: str) -> None:
    score = combine(whole(is_measured=False), [face(height=WEAK, view=replace(VIEW, **change))], TOLERANCE_MS)
    assert (score.state, score.path) == (UNDETERMINED, FACE)
    assert words in (score.reason or "")


def test_a_still_or_hidden_mouth_is_never_measured_however_well_it_seems_to_match() -> None:
    for lips, words in ((STILL, HARDLY_MOVE), (HIDDEN, JITTER)):
        mute = face(view=replace(VIEW, lips=lips))
        assert (mute.is_measured, mute.audio_offset_ms, mute.reason) == (False, None, words)
    for change in ({"frontality": 0.1}, {"lips": LITTLE}, {"lips": JITTERING}):
        assert face(view=replace(VIEW, **change)).is_measured  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("contrast", "num_frames", "is_measured"), [(0.1, 50, False), (0.2, 50, True), (0.1, 200, True)]
)
def test_a_low_peak_of_a_smooth_curve_is_chance(contrast: float, num_frames: int, is_measured: bool) -> None:
    """It stands out by any number of the curve's own deviations; how many frames it rests on tells."""
    rows = np.tile(0.2 + contrast * np.exp(-(((LAGS + 100) / 120) ** 2)), (num_frames, 1))
    options: dict[str, Any] = {"time_seconds": 2.0, "window_seconds": 2.0}
    score = judge_face(curve_of_rows(LAGS, rows), VIEW, evidence(-20.0, 20.0), CALIBRATION, PROFILE, **options)
    assert score.is_measured == is_measured
    assert score.audio_offset_ms == pytest.approx(100, abs=5)
    if not is_measured:
        assert (score.suggested_audio_delay_ms, score.confidence, score.state) == (None, None, UNDETERMINED)
        assert (score.reason or "").startswith(NO_OFFSET)


def test_a_sound_that_hardly_changes_fits_nothing() -> None:
    hum = face(height=WEAK, range_db=1.0)
    assert not hum.is_measured
    assert "the sound hardly changes" in (hum.reason or "")


def test_a_curve_that_was_judged_has_a_cause() -> None:
    """Whether the confidence does not suffice or the best lag is the last; not where nothing could be judged."""
    options: dict[str, Any] = {"time_seconds": 2.0, "window_seconds": 2.0}
    strict = replace(CALIBRATION, threshold=1.0)
    for offset_ms, calibration, words in (
        (100.0, strict, NO_OFFSET),
        (600.0, CALIBRATION, NO_OFFSET),
        (100.0, None, "this bundle is not calibrated"),
    ):
        score = judge_face(curve(offset_ms), VIEW, evidence(-20.0, 20.0), calibration, PROFILE, **options)
        assert (score.reason or "").startswith(words)


def test_several_faces_of_which_none_matches() -> None:
    faces = [face(height=WEAK), face(height=WEAK, view=replace(VIEW, track=1))]
    score = combine(whole(is_measured=False), faces, TOLERANCE_MS)
    assert score.reason == f"none of the 2 faces is sure to fit; of the best one, {NO_OFFSET}"
    alone = combine(whole(is_measured=False), faces[:1], TOLERANCE_MS)
    assert alone.reason == NO_OFFSET


@pytest.mark.parametrize("seed", range(20))
def test_lips_that_speak_are_told_from_lips_that_jitter(seed: int) -> None:
    """Syllables at 4 Hz have the range put in; independent errors of every frame jitter; a gap is no change."""
    random, times = np.random.default_rng(seed), np.arange(50) / 25
    syllables = 0.05 * np.sin(2 * np.pi * (4 * times + random.random()))
    speaking = LipMotion.of(times, syllables + random.normal(0, 0.005, 50))
    assert speaking.opening_range == pytest.approx(0.1, rel=0.25)
    assert speaking.steadiness > 0.3
    hidden = LipMotion.of(times, random.normal(0, 0.02, 50))
    assert hidden.steadiness < -0.2
    gap = LipMotion.of(np.where(times < 1, times, times + 5), syllables + np.where(times < 1, 0.0, 0.5))
    assert gap.steadiness > 0.3
    assert math.isnan(LipMotion.of(times, np.zeros(50)).steadiness)


def test_faces_that_contradict_each_other_decide_nothing() -> None:
    """Not even where the whole picture agrees with one of them; the one with the higher confidence is shown."""
    faces = [face(offset_ms=200.0), face(offset_ms=-200.0, view=replace(VIEW, track=1))]
    for other in (whole(is_measured=False), whole(offset_ms=200.0)):
        score = combine(other, faces, TOLERANCE_MS)
        assert (score.is_measured, score.suggested_audio_delay_ms, score.state) == (False, None, UNDETERMINED)
        assert "one face says +200 ms and another -200 ms" in (score.reason or "")


def test_silence_is_the_reason_of_both() -> None:
    silent = face(level_dbfs=-80.0, view=replace(VIEW, frontality=0.0))
    assert "silent" in (silent.reason or "")
    faces = [silent, replace(silent, face=replace(VIEW, track=1))]
    score = combine(whole(is_measured=False), faces, TOLERANCE_MS)
    assert score.reason == silent.reason
    assert score.audio_offset_ms is None
