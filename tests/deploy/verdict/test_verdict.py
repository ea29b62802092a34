"""Profiles, confidence and the state of a decision."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavsync.deploy import SyncScore, resolve_profile
from cavsync.deploy.verdict.confidence import Evidence, judge, probability
from cavsync.deploy.verdict.curve import Curve, lag_grid_ms
from cavsync.deploy.verdict.records import RECORD_FIELDS
from cavsync.errors import ConfigError
from cavsync.manifest import Calibration

LAGS = lag_grid_ms(600.0, 40.0)
CALIBRATION = Calibration(
    features=["contrast", "agreement"],
    weights=[2.0, 1.0],
    bias=-1.0,
    threshold=0.5,
    tolerance_ms=40.0,
    resolution_ms=10.0,
    zero_point_ms=0.0,
    num_clips=1,
    num_windows=1,
    source="made up",
)
LIVELY = Evidence(motion=np.full(100, 5.0), level_dbfs=np.full(100, -20.0), period_seconds=np.full(100, 0.04))


def curve_peaking_at(lag_ms: float, num_frames: int = 100) -> Curve:
    similarity = np.maximum(0.9 - ((LAGS - lag_ms) / 150) ** 2, 0.1)
    return Curve(LAGS, similarity, np.tile(similarity, (4, 1)), num_frames)


def decide(
    lag_ms: float, profile: str = "itu-bt1359-detect", calibration: Calibration | None = CALIBRATION, **limits: float
) -> SyncScore:
    resolved = resolve_profile(profile, **limits)
    return judge(curve_peaking_at(lag_ms), LIVELY, calibration, resolved, time_seconds=4.0, window_seconds=4.0)


@pytest.mark.parametrize(
    ("profile", "early", "late"),
    [
        ("itu-bt1359-detect", 45, 125),
        ("itu-bt1359-accept", 90, 185),
        ("ebu-r37", 40, 60),
        ("atsc-is191", 15, 45),
        ("one-frame", 40, 40),
    ],
)
def test_limits_of_the_profiles_and_the_sign(profile: str, early: float, late: float) -> None:
    # The matching audio `lag` later than the frame means late audio: offset = -lag. The resolution is 10 ms.
    assert decide(-(early + 10.5), profile).state == "audio_early"
    assert decide(late + 10.5, profile).state == "audio_late"
    assert decide(-(early - 10.5), profile).state == "in_sync"
    assert decide(late - 10.5, profile).state == "in_sync"
    straddling = decide(-(early + 2), profile)
    assert straddling.state == "undetermined"
    assert straddling.audio_offset_ms == pytest.approx(early + 2)
    assert "resolution" in (straddling.reason or "")
    assert straddling.is_measured


@given(offset_ms=st.floats(-500, 500), early=st.floats(0, 300), late=st.floats(0, 300), resolution=st.floats(0, 100))
def test_a_verdict_holds_for_every_offset_within_the_resolution(
    offset_ms: float, early: float, late: float, resolution: float
) -> None:
    calibration = dataclasses.replace(CALIBRATION, resolution_ms=resolution)
    score = decide(-offset_ms, "custom", calibration, early_ms=early, late_ms=late)
    assert score.audio_offset_ms is not None
    possible = score.audio_offset_ms + np.linspace(-resolution, resolution, 21)
    states = {"audio_early" if x > early else "audio_late" if x < -late else "in_sync" for x in possible}
    if len(states) > 1:
        # Two limits inside the interval, or one: nothing can be said.
        assert score.state == "undetermined"
    if score.state != "undetermined":
        assert states == {score.state}
        assert score.within_profile is (score.state == "in_sync")
    else:
        assert score.within_profile is None


def test_probability_is_the_logistic_of_the_weighted_features() -> None:
    features = {"contrast": 0.25, "agreement": 1.0, "other": 7.0}
    assert probability(CALIBRATION, features) == pytest.approx(1 / (1 + math.exp(-0.5)))
    steep = dataclasses.replace(CALIBRATION, weights=[1e5, 0.0])
    assert probability(steep, {"contrast": -1.0, "agreement": 0.0}) == pytest.approx(0.0)
    assert probability(steep, {"contrast": 1.0, "agreement": 0.0}) == pytest.approx(1.0)


def test_frames_beyond_the_longest_example_add_no_confidence() -> None:
    """150 frames were the most at calibration: a curve of 150 or of 7,500 frames is as sure, one of 50 less."""
    capped = dataclasses.replace(CALIBRATION, features=["log_frames"], weights=[0.5], bias=-2.0, max_frames=150)
    found = {
        frames: judge(
            curve_peaking_at(0.0, frames),
            LIVELY,
            capped,
            resolve_profile("itu-bt1359-detect"),
            time_seconds=4.0,
            window_seconds=4.0,
        )
        for frames in (50, 150, 7500)
    }
    for frames, counted in ((50, 50), (150, 150), (7500, 150)):
        # sigmoid(0.5 log n - 2)
        assert found[frames].confidence == pytest.approx(1 / (1 + math.exp(2) / math.sqrt(counted)))
        assert (found[frames].features or {})["log_frames"] == pytest.approx(math.log(frames))
    uncapped = dataclasses.replace(capped, max_frames=None)
    assert probability(uncapped, {"log_frames": math.log(7500)}) > probability(capped, {"log_frames": math.log(7500)})


def test_zero_point_is_taken_off() -> None:
    shifted = dataclasses.replace(CALIBRATION, zero_point_ms=-25.0)
    assert decide(100.0, calibration=shifted).audio_offset_ms == pytest.approx(-75.0)


def test_low_confidence_keeps_the_estimate_but_gives_no_verdict() -> None:
    score = decide(-300.0, calibration=dataclasses.replace(CALIBRATION, threshold=0.99))
    assert (score.state, score.within_profile, score.is_measured) == ("undetermined", None, False)
    assert score.audio_offset_ms == pytest.approx(300.0)
    assert score.suggested_audio_delay_ms is None
    assert "below the bundle's threshold" in (score.reason or "")


def test_a_bundle_without_calibration_gives_estimates_only() -> None:
    score = decide(-300.0, calibration=None)
    assert (score.state, score.confidence, score.offset_resolution_ms) == ("undetermined", None, None)
    assert score.audio_offset_ms == pytest.approx(300.0)
    assert "not calibrated" in (score.reason or "")


def with_evidence(**changes: np.ndarray) -> SyncScore:
    evidence = dataclasses.replace(LIVELY, **changes)
    profile = resolve_profile("ebu-r37")
    return judge(curve_peaking_at(-200), evidence, CALIBRATION, profile, time_seconds=4.0, window_seconds=4.0)


ONE_FLASH = np.where(np.arange(100) == 50, 120.0, 0.0)
KEY_FRAMES = np.where(np.arange(100) % 25 == 0, 0.4, 0.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"level_dbfs": np.full(100, -75.0)}, "silent"),
        ({"level_dbfs": np.full(100, np.nan)}, "no audio"),
        ({"motion": np.zeros(100)}, "static"),
        ({"motion": KEY_FRAMES}, "static"),
        ({"motion": ONE_FLASH}, None),
        ({"level_dbfs": np.where(np.arange(100) < 90, -75.0, -20.0)}, None),
    ],
)
def test_silence_and_stillness_are_no_evidence(changes: dict[str, np.ndarray], reason: str | None) -> None:
    score = with_evidence(**changes)
    if reason is None:
        assert score.state == "audio_early"
        return
    assert (score.state, score.audio_offset_ms, score.suggested_audio_delay_ms) == ("undetermined", None, None)
    assert score.confidence is None
    assert reason in (score.reason or "")


@pytest.mark.parametrize(
    ("curve", "reason"),
    [
        (curve_peaking_at(0, num_frames=7), "only 7 video frames"),
        (Curve(LAGS, np.full_like(LAGS, 0.3), np.full((4, len(LAGS)), 0.3), 100), "flat"),
        (Curve(LAGS, LAGS / 600, np.tile(LAGS / 600, (4, 1)), 100), "beyond ±600 ms"),
        (Curve(LAGS, np.where(LAGS == 0, 1.0, np.nan), np.zeros((4, len(LAGS))), 100), "too little of the audio"),
    ],
)
def test_curves_that_prove_nothing(curve: Curve, reason: str) -> None:
    score = judge(curve, LIVELY, CALIBRATION, resolve_profile("ebu-r37"), time_seconds=4.0, window_seconds=4.0)
    assert (score.state, score.audio_offset_ms) == ("undetermined", None)
    assert reason in (score.reason or "")


def test_record_has_the_fields_of_the_contract_and_is_strict_json() -> None:
    record = decide(120.04).to_dict()
    assert tuple(record) == RECORD_FIELDS
    assert list(record)[:10] == [
        "time_seconds", "window_seconds", "audio_offset_ms", "offset_resolution_ms", "suggested_audio_delay_ms",
        "similarity", "confidence", "state", "profile", "within_profile",
    ]  # fmt: skip
    assert record["audio_offset_ms"] == -120.0
    broken = dataclasses.replace(decide(0.0), similarity=math.nan, audio_offset_ms=-0.01)
    text = json.dumps(broken.to_dict(), allow_nan=False)
    assert '"similarity": null' in text
    assert '"audio_offset_ms": 0.0' in text


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("broadcast", {}),
        ("custom", {"early_ms": 10.0}),
        ("custom", {"early_ms": -1.0, "late_ms": 5.0}),
        ("custom", {"early_ms": math.nan, "late_ms": 5.0}),
        ("ebu-r37", {"late_ms": 5.0}),
    ],
)
def test_profiles_that_make_no_sense(name: str, limits: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        resolve_profile(name, **limits)
