"""Whole files: known offsets, shifts, drift, jumps, and what the summary may claim."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from sync_clips import write_clip

from cavsync.deploy import Bundle, SyncScore, score_file
from cavsync.deploy.verdict.trend import drift_ms_per_minute, out_of_sync_events, worst_offset_ms
from cavsync.errors import ConfigError, MediaError


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
@pytest.mark.parametrize("offset_ms", [-200.0, 0.0, 130.0])
def test_offset_of_a_clip(bundle: Bundle, tmp_path: Path, ending: str, offset_ms: float) -> None:
    result = score_file(write_clip(tmp_path / f"clip.{ending}", audio_offset_ms=offset_ms), bundle)
    summary = result.summary.to_dict()
    assert summary["audio_offset_ms"] == pytest.approx(offset_ms, abs=3)
    assert summary["suggested_audio_delay_ms"] == summary["audio_offset_ms"]
    assert summary["state"] == {-200.0: "audio_late", 0.0: "in_sync", 130.0: "audio_early"}[offset_ms]
    assert summary["duration_seconds"] == pytest.approx(6.0, abs=0.05)
    assert summary["num_windows"] == len(result.records) == 9
    assert summary["media"]["decoder"].startswith("libavcodec ")
    assert summary["undetermined_share"] == 0
    assert summary["drift_ms_per_minute"] is None
    assert len(summary["events"]) == (0 if offset_ms == 0 else 1)
    if offset_ms:
        event = summary["events"][0]
        assert (event["start"], event["state"]) == (0.0, summary["state"])
        assert event["end"] == pytest.approx(6.0, abs=0.05)
        assert event["extreme"] == pytest.approx(offset_ms, abs=6)


@pytest.mark.parametrize("shift_ms", [-150.0, 100.0, 33.0])
def test_delaying_the_audio_lowers_the_offset(bundle: Bundle, tmp_path: Path, shift_ms: float) -> None:
    clip = write_clip(tmp_path / "clip.mkv")
    result = score_file(clip, bundle, audio_shift_ms=shift_ms)
    assert result.summary.score.audio_offset_ms == pytest.approx(-shift_ms, abs=3)


def test_a_coarser_grid_claims_no_finer_verdict(bundle: Bundle, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", audio_offset_ms=20.0)
    score = score_file(clip, bundle, hop_ms=80.0).summary.score
    assert score.offset_resolution_ms == 40.0
    assert (score.state, score.is_measured) == ("undetermined", True)
    assert "resolution of ±40 ms" in (score.reason or "")


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(50), Fraction(12)])
def test_frame_rates_of_files(bundle: Bundle, tmp_path: Path, rate: Fraction) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frame_rate=rate, audio_offset_ms=-90.0)
    result = score_file(clip, bundle, profile="one-frame")
    assert result.summary.score.audio_offset_ms == pytest.approx(-90.0, abs=4)
    assert result.summary.early_limit_ms == pytest.approx(1000 / float(rate), abs=1)


def test_drift_is_measured_and_no_constant_is_claimed(bundle: Bundle, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", seconds=40.0, audio_offset_ms=lambda t: -150 + 7.0 * t)
    summary = score_file(clip, bundle).summary.to_dict()
    assert summary["drift_ms_per_minute"] == pytest.approx(7.0 * 60, rel=0.03)
    assert summary["suggested_audio_delay_ms"] is None
    assert summary["audio_offset_ms"] == pytest.approx(-10.0, abs=10)
    assert summary["worst_offset_ms"] == pytest.approx(-150.0, abs=15)
    assert "varies from -1" in summary["reason"]
    assert [event["state"] for event in summary["events"]] == ["audio_late", "audio_early"]
    # The offset leaves the band of +45/-125 ms at 3.6 s and at 27.9 s.
    assert summary["events"][0]["end"] == pytest.approx(3.6, abs=2)
    assert summary["events"][1]["start"] == pytest.approx(27.9, abs=2.5)


def test_a_jump_is_an_event_with_its_place(bundle: Bundle, tmp_path: Path) -> None:
    clip = write_clip(
        tmp_path / "clip.mkv", seconds=24.0, audio_offset_ms=lambda t: np.where((t > 8) & (t < 20), -240.0, 0.0)
    )
    result = score_file(clip, bundle)
    (event,) = result.summary.events
    assert event.state == "audio_late"
    assert (event.start, event.end) == pytest.approx((8.0, 20.0), abs=0.8)
    assert event.extreme == pytest.approx(-240.0, abs=8)
    assert result.summary.score.suggested_audio_delay_ms is None
    assert result.summary.score.confidence is not None
    assert result.summary.score.confidence < 0.7


def test_the_heat_map_shows_the_offset_in_every_column(bundle: Bundle, tmp_path: Path) -> None:
    heat_map = score_file(write_clip(tmp_path / "clip.mkv", audio_offset_ms=-200.0), bundle).heat_map
    assert heat_map.similarity.shape == (12, len(heat_map.lags_ms))
    inside = heat_map.similarity[2:10]
    best = heat_map.lags_ms[np.nanargmax(inside, axis=1)]
    assert float(np.median(best)) == pytest.approx(200.0, abs=40)


def test_a_file_shorter_than_a_window(bundle: Bundle, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", seconds=1.4)
    with pytest.raises(MediaError, match=r"lasts 1\.40 s, shorter than one window of 2\.00 s.*--window-seconds"):
        score_file(clip, bundle)
    assert len(score_file(clip, bundle, window_seconds=1.0).records) == 1
    exact = write_clip(tmp_path / "exact.mkv", seconds=2.0)
    assert len(score_file(exact, bundle).records) == 1


def test_progress_and_bad_shift(bundle: Bundle, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", seconds=3.0)
    calls: list[tuple[float, float | None]] = []
    score_file(clip, bundle, on_progress=lambda done, total: calls.append((done, total)))
    # Once for each of the 75 frames, and for the audio between them.
    assert sum(any(abs(done - index / 25) < 1e-6 for done, _ in calls) for index in range(75)) == 75
    assert len(calls) > 75
    assert 2.9 < max(done for done, _ in calls) < 3.0
    assert all(total == pytest.approx(3.0) for _, total in calls)
    with pytest.raises(ConfigError):
        score_file(clip, bundle, audio_shift_ms=math.nan)


def decision(index: int, offset_ms: float | None, state: str) -> SyncScore:
    return SyncScore(
        time_seconds=4.0 + index,
        window_seconds=4.0,
        audio_offset_ms=offset_ms,
        offset_resolution_ms=10.0,
        suggested_audio_delay_ms=offset_ms,
        similarity=0.9,
        confidence=0.9,
        state=state,
        profile="ebu-r37",
        within_profile=None if state == "undetermined" else state == "in_sync",
        is_measured=offset_ms is not None,
    )


def test_drift_is_robust_and_knows_when_it_cannot_be_told() -> None:
    random = np.random.default_rng(0)
    offsets = 0.5 * np.arange(120) + random.normal(0, 5, 120)
    offsets[::7] = 400.0
    records = [decision(index, float(value), "audio_early") for index, value in enumerate(offsets)]
    assert drift_ms_per_minute(records) == pytest.approx(30.0, abs=5)
    assert drift_ms_per_minute(records[:20]) is None
    assert drift_ms_per_minute([*records[:3], *records[-3:]]) is None
    many = [decision(index, 0.01 * index, "in_sync") for index in range(7200)]
    assert drift_ms_per_minute(many) == pytest.approx(0.6)
    # A jump of 300 ms is none.
    jump = [decision(index, -300.0 * (index >= 30), "audio_late") for index in range(60)]
    assert drift_ms_per_minute(jump) is None


def test_events_bridge_brief_gaps_only() -> None:
    words = {"i": (0.0, "in_sync"), "e": (90.0, "audio_early"), "l": (-90.0, "audio_late"), "u": (None, "undetermined")}
    records = [decision(index, *words[letter]) for index, letter in enumerate("iieuueeiluuuuuleuu")]
    events = out_of_sync_events(records, 1.0, 0.0, 22.0)
    found = [(event.start, event.end, event.state, event.extreme, event.cause) for event in events]
    # The middle of window n is 2 + n, and it speaks for half a second to either side.
    assert found == [
        (3.5, 8.5, "audio_early", 90.0, "decisions"),
        (9.5, 10.5, "audio_late", -90.0, "undetermined"),
        (15.5, 16.5, "audio_late", -90.0, "decisions"),
        (16.5, 17.5, "audio_early", 90.0, "undetermined"),
    ]
    assert worst_offset_ms(records) == 90.0
    assert worst_offset_ms([]) is None
    (whole,) = out_of_sync_events([decision(0, -90.0, "audio_late")], 1.0, 0.0, 4.0)
    assert (whole.start, whole.end, whole.cause) == (0.0, 4.0, "stream_ended")
