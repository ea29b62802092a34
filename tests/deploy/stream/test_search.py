"""Cost knobs and the adaptive search: how much is embedded, what is found, and when the look widens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from counting_engine import CountingEngine
from streams import RATE_HZ, feed, times_at
from sync_clips import make_audio, make_frames

from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.stream.search import TRACK, WIDE
from cavsync.errors import ConfigError


def counted(bundle: Bundle) -> tuple[Bundle, CountingEngine, CountingEngine]:
    audio, visual = CountingEngine(bundle.audio), CountingEngine(bundle.visual)
    return replace(bundle, audio=audio, visual=visual), audio, visual


def score(bundle: Bundle, seconds: float = 20.0, offset_ms: float = 120.0, **options: Any) -> Any:
    """Records of an offset course, and how many segments and frames were embedded."""
    counting, audio, visual = counted(bundle)
    times = times_at(25, seconds)
    scorer = SyncScorer(counting, **options)
    samples = make_audio(0.0, round(seconds * RATE_HZ), audio_offset_ms=offset_ms)
    return feed(scorer, times, make_frames(times), samples), audio.num_inputs, visual.num_inputs


def test_every_instant_is_embedded_once(bundle: Bundle) -> None:
    records, num_segments, num_frames = score(bundle)
    assert len(records) == 37
    assert num_frames == 20 * 25
    # One segment per hop of 40 ms; the last ones do not fit.
    assert 20 * 25 - 4 <= num_segments <= 20 * 25


def test_a_lower_frame_rate_and_a_longer_hop_cost_less(bundle: Bundle) -> None:
    _, num_segments, num_frames = score(bundle, frame_rate_hz=5.0)
    assert num_frames == 100
    # Sparse frames still look at every instant of the grid.
    assert num_segments == pytest.approx(500, abs=5)
    records, num_segments, num_frames = score(bundle, frame_rate_hz=5.0, hop_ms=80.0)
    assert (num_frames, num_segments) == (100, pytest.approx(250, abs=3))
    offsets = [record.audio_offset_ms for record in records if record.is_measured]
    assert len(offsets) >= 20
    assert float(np.median(offsets)) == pytest.approx(120.0, abs=12)
    # A verdict finer than half a hop is not given where the calibration knew a finer grid.
    assert {record.offset_resolution_ms for record in records} == {40.0}


def test_slow_frame_rates_do_not_wait_for_sixteen_frames(bundle: Bundle) -> None:
    times = times_at(25, 10.0)
    samples = make_audio(0.0, 10 * RATE_HZ)
    scorer = SyncScorer(bundle, frame_rate_hz=1.6, window_seconds=6.25)
    delays = []
    for index, (time, frame) in enumerate(zip(times, make_frames(times), strict=True)):
        records = scorer.push_video(frame, pts_seconds=time)
        records += scorer.push_audio(samples[640 * index : 640 * (index + 1)], pts_seconds=time)
        delays += [time - record.time_seconds for record in records]
    # The next frame after the window, the search range, half a segment.
    assert len(delays) >= 3
    assert max(delays) < 0.625 + 0.6 + 0.04 + 0.1


def test_tracking_finds_the_same_with_less(bundle: Bundle) -> None:
    full, full_segments, full_frames = score(bundle, hop_ms=10.0, seconds=30.0)
    records, num_segments, num_frames = score(bundle, hop_ms=10.0, seconds=30.0, adaptive=True)
    assert [record.time_seconds for record in records] == [record.time_seconds for record in full]
    assert num_frames < 0.35 * full_frames
    assert num_segments < 0.85 * full_segments
    # The first windows see coarse lags only and claim no more than that.
    early = records[0]
    assert early.offset_resolution_ms is not None
    assert early.offset_resolution_ms >= 70
    late = [record for record in records if record.time_seconds > 6]
    assert all(record.is_measured for record in late)
    # A fourth of the frames: twice the error; a little less while a window still holds what was seen before.
    resolutions = [record.offset_resolution_ms for record in late]
    assert max(resolutions) == 20.0
    assert resolutions.count(20.0) > 0.8 * len(late)
    assert [record.audio_offset_ms for record in late] == pytest.approx([120.0] * len(late), abs=15)


def test_it_widens_when_the_offset_changes_and_tracks_the_new_one(bundle: Bundle) -> None:
    times = times_at(25, 40.0)
    before = make_audio(0.0, 20 * RATE_HZ, audio_offset_ms=-200.0)
    after = make_audio(20.0, 20 * RATE_HZ, audio_offset_ms=300.0)
    modes = set()
    scorer = SyncScorer(bundle, adaptive=True, on_row=lambda _: modes.add(scorer._search.mode))
    records = feed(scorer, times, make_frames(times), np.concatenate([before, after]))
    assert {TRACK, WIDE} <= modes
    settled = [record for record in records if record.time_seconds > 30]
    assert all(record.is_measured for record in settled)
    assert [record.audio_offset_ms for record in settled] == pytest.approx([300.0] * len(settled), abs=20)
    assert scorer._search.mode == TRACK
    # Nothing in between is trusted and wrong.
    trusted = [record.audio_offset_ms for record in records if record.is_measured]
    assert all(min(abs(offset + 200), abs(offset - 300)) < 100 for offset in trusted)


@pytest.mark.parametrize("adaptive", [False, True])
def test_pieces_do_not_matter(bundle: Bundle, adaptive: bool) -> None:
    times = times_at(25, 12.0)
    frames, samples = make_frames(times), make_audio(0.0, 12 * RATE_HZ, audio_offset_ms=-90.0)
    reference = feed(SyncScorer(bundle, adaptive=adaptive), times, frames, samples)
    for lead in (-3, 3):
        other = feed(
            SyncScorer(bundle, adaptive=adaptive), times, frames, samples, cuts=[7, 5000, 99_999], audio_leads_by=lead
        )
        assert [record.to_dict() for record in other] == [record.to_dict() for record in reference]


def test_silence_is_looked_at_coarsely(bundle: Bundle) -> None:
    counting, audio, visual = counted(bundle)
    times = times_at(25, 30.0)
    scorer = SyncScorer(counting, adaptive=True)
    records = feed(scorer, times, make_frames(times), np.zeros(30 * RATE_HZ, np.float32))
    assert all(record.audio_offset_ms is None for record in records)
    assert visual.num_inputs < 0.3 * 30 * 25
    assert audio.largest <= 16


@pytest.mark.parametrize(
    "options",
    [
        {"hop_ms": 15.0},
        {"hop_ms": 0.0},
        {"hop_ms": 400.0},
        {"frame_rate_hz": 0.0},
        {"frame_rate_hz": float("nan")},
        {"frame_rate_hz": 1000.0, "window_seconds": 3600.0},
        {"max_lead_seconds": 0.0},
        {"group_seconds": float("inf")},
    ],
)
def test_numbers_that_no_stream_can_be_scored_with(bundle: Bundle, options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="give"):
        SyncScorer(bundle, **options)
