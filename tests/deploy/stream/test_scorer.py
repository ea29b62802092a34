"""The streaming scorer against a plain calculation, whatever the pieces the stream comes in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streams import RATE_HZ, feed, times_at
from sync_clips import course, make_audio, make_frames

from cavsync.deploy import Bundle, SyncScore, SyncScorer
from cavsync.deploy.stream.rows import Row
from cavsync.errors import ConfigError, MediaError

SEGMENT_FRAMES = 6


def score_course(bundle: Bundle, *, seconds: float = 6.0, offset_ms: float = 0.0, **options: Any) -> list[SyncScore]:
    times = times_at(25, seconds)
    samples = make_audio(0.0, round(seconds * RATE_HZ), audio_offset_ms=offset_ms)
    return feed(SyncScorer(bundle, **options), times, make_frames(times), samples)


@pytest.mark.parametrize("offset_ms", [-420.0, -80.0, -13.0, 0.0, 27.0, 120.0, 400.0])
def test_sign_and_size_of_the_offset(bundle: Bundle, offset_ms: float) -> None:
    records = score_course(bundle, offset_ms=offset_ms, profile="ebu-r37")
    assert [record.time_seconds for record in records] == pytest.approx([2 + 0.5 * n for n in range(9)])
    assert all(record.is_measured for record in records)
    # The loudness meter averages over a curved course: a few ms of honest error per window, none on the whole.
    errors = [(record.audio_offset_ms or math.nan) - offset_ms for record in records]
    assert max(abs(error) for error in errors) < 6
    assert abs(float(np.median(errors))) < 3
    wanted = "audio_early" if offset_ms > 60 else "audio_late" if offset_ms < -70 else "in_sync"
    assert {record.state for record in records} == {wanted}


def plain_row(time: float, frame: np.ndarray, samples: np.ndarray, lags_ms: np.ndarray) -> np.ndarray:
    """Similarities of one frame, one lag and one segment at a time, in double precision."""

    def audio_angle(instant: int) -> float:
        first = instant * 4
        if first < 0 or first * 160 + (SEGMENT_FRAMES - 1) * 160 + 400 > len(samples):
            return math.nan
        windows = [samples[160 * m : 160 * m + 400].astype(np.float64) for m in range(first, first + SEGMENT_FRAMES)]
        decibels = 10 / math.log(10) * np.mean([math.log(np.mean(window**2) + 1e-10) for window in windows])
        return math.pi * min(max((decibels + 50) / 40, 0), 1)

    visual_angle = math.pi * frame.mean() / 255
    row = []
    for lag_ms in lags_ms:
        # Instant j is centred at 0.04 j + (2.5 * 160 + 200) / 16000 seconds.
        position = (time + lag_ms / 1000 - 600 / RATE_HZ) / 0.04
        below = math.floor(position + 1e-6)
        share = max(0.0, position - below)
        neighbours = [math.cos(visual_angle - audio_angle(below)), math.cos(visual_angle - audio_angle(below + 1))]
        row.append(neighbours[0] if share < 1e-6 else (1 - share) * neighbours[0] + share * neighbours[1])
    return np.array(row)


@pytest.mark.parametrize("start_seconds", [0.0, 0.0075, 0.023])
def test_rows_and_curves_match_a_plain_calculation(bundle: Bundle, start_seconds: float) -> None:
    seconds = 3.0
    times = times_at(25, seconds, start_seconds)
    frames, samples = make_frames(times), make_audio(0.0, round(seconds * RATE_HZ), audio_offset_ms=50.0)
    rows: list[Row] = []
    scorer = SyncScorer(bundle, on_row=rows.append)
    records = feed(scorer, times, frames, samples)
    np.testing.assert_allclose([row.time_seconds for row in rows], times)
    wanted = np.array([plain_row(t, f, samples, scorer.lags_ms) for t, f in zip(times, frames, strict=True)])
    np.testing.assert_allclose(np.array([row.similarity for row in rows]), wanted, atol=2e-5)
    for record in records:
        end = record.time_seconds
        inside = wanted[(times >= end - 2 - 1e-3) & (times < end - 1e-3)]
        assert record.curve is not None
        assert record.curve.num_frames == len(inside) == 50
        counted = np.isfinite(inside).sum(axis=0) >= 20
        np.testing.assert_array_equal(np.isfinite(record.curve.similarity), counted)
        mean = np.array([column[np.isfinite(column)].mean() for column in inside.T[counted]])
        np.testing.assert_allclose(record.curve.similarity[counted], mean, atol=2e-5)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, 4 * RATE_HZ - 1), max_size=30),
    lead=st.sampled_from([0, 0, 1, -1, 100, -100]),
)
def test_results_do_not_depend_on_the_pieces(bundle: Bundle, cuts: list[int], lead: int) -> None:
    times = times_at(25, 4.0)
    frames, samples = make_frames(times), make_audio(0.0, 4 * RATE_HZ, audio_offset_ms=-70.0)
    reference = feed(SyncScorer(bundle), times, frames, samples)
    records = feed(SyncScorer(bundle), times, frames, samples, cuts=cuts, audio_leads_by=lead)
    assert len(records) == len(reference) == 5
    for record, wanted in zip(records, reference, strict=True):
        assert record.to_dict() == wanted.to_dict()
        assert record.audio_offset_ms == pytest.approx(wanted.audio_offset_ms, abs=1e-6)
        assert record.confidence == pytest.approx(wanted.confidence, abs=1e-6)


def test_decisions_come_as_soon_as_their_sound_is_there(bundle: Bundle) -> None:
    times = times_at(25, 6.0)
    frames, samples = make_frames(times), make_audio(0.0, 6 * RATE_HZ)
    scorer = SyncScorer(bundle)
    delays = []
    for index, (time, frame) in enumerate(zip(times, frames, strict=True)):
        piece = samples[640 * index : 640 * (index + 1)]
        records = scorer.push_video(frame, pts_seconds=time) + scorer.push_audio(piece, pts_seconds=time)
        delays += [time - record.time_seconds for record in records]
    # Search range 0.6 s, half a segment, and one group of 16 instants 40 ms apart at most.
    assert len(delays) >= 5
    assert max(delays) < 0.6 + 0.04 + 0.64 + 0.1


@pytest.mark.parametrize("rate_hz", [12.5, 24000 / 1001, 30.0, 59.94])
def test_frame_rates(bundle: Bundle, rate_hz: float) -> None:
    times = times_at(rate_hz, 6.0)
    rows: list[Row] = []
    scorer = SyncScorer(bundle, on_row=rows.append, profile="one-frame")
    records = feed(scorer, times, make_frames(times), make_audio(0.0, 6 * RATE_HZ, audio_offset_ms=150.0))
    assert len(rows) == pytest.approx(6 * min(rate_hz, 25.0), abs=2)
    assert {row.time_seconds for row in rows} <= set(times)
    assert float(np.median([record.audio_offset_ms for record in records])) == pytest.approx(150.0, abs=5)
    assert {record.state for record in records} == {"audio_early"}


def test_variable_frame_rate_keeps_its_meaning(bundle: Bundle) -> None:
    random = np.random.default_rng(5)
    times = np.cumsum(random.uniform(0.01, 0.09, 160))
    samples = make_audio(0.0, round((times[-1] + 1) * RATE_HZ), audio_offset_ms=-90.0)
    records = feed(SyncScorer(bundle), times, make_frames(times), samples)
    assert len(records) >= 8
    assert float(np.median([record.audio_offset_ms for record in records])) == pytest.approx(-90.0, abs=6)


def test_one_stream_may_start_late_and_clocks_may_start_anywhere(bundle: Bundle) -> None:
    start = 1000.0
    times = times_at(25, 8.0, start)
    samples = make_audio(start + 3.0, 5 * RATE_HZ, audio_offset_ms=80.0)
    records = feed(SyncScorer(bundle), times, make_frames(times), samples, audio_start_seconds=start + 3.0)
    assert records[0].state == "undetermined"
    assert records[0].audio_offset_ms is None
    assert "no audio" in (records[0].reason or "")
    late = [record.audio_offset_ms for record in records if record.time_seconds >= start + 6]
    assert late == pytest.approx([80.0] * len(late), abs=6)
    negative = times_at(25, 4.0, -2.0)
    records = feed(
        SyncScorer(bundle), negative, make_frames(negative), make_audio(-2.0, 4 * RATE_HZ), audio_start_seconds=-2.0
    )
    assert [record.audio_offset_ms for record in records] == pytest.approx([0.0] * 5, abs=6)


def test_flush_ends_the_stream_and_reset_begins_a_new_one(bundle: Bundle) -> None:
    scorer = SyncScorer(bundle)
    assert scorer.flush() == []
    scorer.reset()
    times = times_at(25, 3.0)
    first = feed(scorer, times, make_frames(times), make_audio(0.0, 3 * RATE_HZ))
    assert scorer.flush() == []
    with pytest.raises(MediaError, match="reset"):
        scorer.push_video(make_frames(times)[0], pts_seconds=9.0)
    scorer.reset()
    assert [r.to_dict() for r in feed(scorer, times, make_frames(times), make_audio(0.0, 3 * RATE_HZ))] == [
        r.to_dict() for r in first
    ]


def test_a_stream_shorter_than_the_window_gives_one_decision(bundle: Bundle) -> None:
    times = times_at(25, 0.2)
    (record,) = feed(SyncScorer(bundle), times, make_frames(times), make_audio(0.0, 3200))
    assert (record.state, record.audio_offset_ms) == ("undetermined", None)
    assert record.window_seconds == pytest.approx(0.2)
    assert "only 5 video frames" in (record.reason or "")


def test_stillness_and_silence_in_a_stream(bundle: Bundle) -> None:
    times = times_at(25, 3.0)
    still = np.full((75, 8, 8, 3), 100, np.uint8)
    for frames, samples, reason in (
        (still, make_audio(0.0, 3 * RATE_HZ), "static"),
        (make_frames(times), np.zeros(3 * RATE_HZ, np.float32), "silent"),
    ):
        records = feed(SyncScorer(bundle), times, frames, samples)
        assert all(reason in (record.reason or "") and record.audio_offset_ms is None for record in records)


def test_an_offset_beyond_the_range_is_not_guessed(bundle: Bundle) -> None:
    times = times_at(25, 6.0)
    # A slow course: the similarity still rises where the search ends.
    grey = np.round(255 * course(times / 6)).astype(np.uint8)
    frames = np.broadcast_to(grey[:, None, None, None], (len(grey), 8, 8, 3)).copy()
    level = -50 + 40 * course((np.arange(6 * RATE_HZ) / RATE_HZ + 1.0) / 6)
    samples = (10 ** (level / 20) * np.sqrt(2) * np.sin(np.arange(6 * RATE_HZ) * 0.4)).astype(np.float32)
    records = feed(SyncScorer(bundle), times, frames, samples)
    edge = [record for record in records if "beyond ±600 ms" in (record.reason or "")]
    assert len(edge) >= len(records) // 2
    assert all(record.audio_offset_ms is None for record in edge)


def test_memory_follows_the_lead_and_not_the_length(bundle: Bundle) -> None:
    scorer = SyncScorer(bundle, max_lead_seconds=5.0)
    piece = make_audio(0.0, RATE_HZ)
    for second in range(120):
        scorer.push_audio(piece, pts_seconds=float(second))
    audio = scorer._stream.audio._stretches[0]
    assert 5 * RATE_HZ <= audio.num_samples <= 9 * RATE_HZ
    for index, frame in enumerate(make_frames(times_at(25, 20.0, 112.0))):
        scorer.push_video(frame, pts_seconds=112 + index / 25)
        scorer.push_audio(piece[:640], pts_seconds=120 + index / 25)
    video = scorer._stream.video
    assert len(video._epochs[0].frames) < 24
    assert scorer._span is not None
    assert len(scorer._span._rows) <= 2 * 25 + 25
    assert audio.first_instant > (112 + 20 - 2.5) * 25


@pytest.mark.parametrize(
    "options",
    [
        {"window_seconds": 0},
        {"window_seconds": math.nan},
        {"max_offset_ms": 1.0},
        {"max_offset_ms": 1e9},
        {"profile": "?"},
    ],
)
def test_options_that_make_no_sense(bundle: Bundle, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        SyncScorer(bundle, **options)


def test_window_and_range_may_differ_from_the_bundle(bundle: Bundle) -> None:
    records = score_course(bundle, seconds=5.0, offset_ms=750.0, window_seconds=3.0, max_offset_ms=1000.0)
    assert [record.window_seconds for record in records] == [3.0] * 5
    assert [record.audio_offset_ms for record in records] == pytest.approx([750.0] * 5, abs=8)
