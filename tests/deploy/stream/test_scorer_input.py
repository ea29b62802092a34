"""What may be pushed into a scorer: rates and layouts, gaps, overlaps and jitter of timestamps, and plain nonsense."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from streams import RATE_HZ, feed, times_at
from sync_clips import make_audio, make_frames

from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.stream.rows import Row
from cavsync.errors import MediaError


@pytest.mark.parametrize(
    ("rate_hz", "channels", "dtype", "phase"),
    [(48_000, 2, "float32", 1), (44_100, 1, "int16", 1), (16_000, 2, "int16", 1), (48_000, 2, "float32", -1)],
)
def test_rates_layouts_and_types(bundle: Bundle, rate_hz: int, channels: int, dtype: str, phase: int) -> None:
    """The last one has left and right in opposite phase."""
    times = times_at(25, 4.0)
    frames = make_frames(times)
    samples = make_audio(0.0, 4 * rate_hz, rate_hz=rate_hz, audio_offset_ms=100.0)
    if dtype == "int16":
        samples = np.round(samples * 32767).astype(np.int16)
    stacked = np.repeat(samples[:, None], channels, axis=1)
    stacked[:, 1:] *= phase
    scorer = SyncScorer(bundle)
    records = []
    step = rate_hz // 25
    for index, time in enumerate(times):
        records += scorer.push_video(frames[index], pts_seconds=time)
        piece = stacked[step * index : step * (index + 1)]
        records += scorer.push_audio(piece, pts_seconds=step * index / rate_hz, sample_rate_hz=rate_hz)
    records += scorer.flush()
    assert len(records) == 5
    assert [record.audio_offset_ms for record in records] == pytest.approx([100.0] * 5, abs=6)


def test_a_gap_is_missing_audio_and_not_silence(bundle: Bundle) -> None:
    times = times_at(25, 8.0)
    samples = make_audio(0.0, 8 * RATE_HZ, audio_offset_ms=60.0)
    rows: list[Row] = []
    scorer = SyncScorer(bundle, on_row=rows.append)
    records = []
    for start in range(0, len(samples), 1600):
        if not 3.0 <= start / RATE_HZ < 4.0:
            records += scorer.push_audio(samples[start : start + 1600], pts_seconds=start / RATE_HZ)
    for time, frame in zip(times, make_frames(times), strict=True):
        records += scorer.push_video(frame, pts_seconds=time)
    records += scorer.flush()
    middle = len(scorer.lags_ms) // 2
    missing = [row.time_seconds for row in rows if math.isnan(row.similarity[middle])]
    # A segment of 75 ms is lost as soon as a tenth of it is.
    assert [time for time in missing if 0.1 < time < 7.9] == pytest.approx(np.arange(2.96, 4.04, 0.04), abs=0.041)
    measured = [record.audio_offset_ms for record in records if record.is_measured]
    assert len(measured) >= 8
    assert measured == pytest.approx([60.0] * len(measured), abs=8)


def test_overlaps_keep_what_came_first_and_jitter_does_not_cut(bundle: Bundle) -> None:
    times = times_at(25, 4.0)
    frames, samples = make_frames(times), make_audio(0.0, 4 * RATE_HZ, audio_offset_ms=40.0)
    reference = feed(SyncScorer(bundle), times, frames, samples)
    random = np.random.default_rng(2)
    scorer = SyncScorer(bundle)
    records = []
    for start in range(0, len(samples), 800):
        pts_seconds = start / RATE_HZ + (random.uniform(-0.004, 0.004) if start else 0.0)
        records += scorer.push_audio(samples[start : start + 800], pts_seconds=pts_seconds)
        if start % 8000 == 0 and start:
            noise = random.normal(size=1600).astype(np.float32)
            records += scorer.push_audio(noise, pts_seconds=(start + 800 - 1600) / RATE_HZ)
    for time, frame in zip(times, frames, strict=True):
        records += scorer.push_video(frame, pts_seconds=time)
    records += scorer.flush()
    assert [record.to_dict() for record in records] == [record.to_dict() for record in reference]


@pytest.mark.parametrize(("rate_hz", "chunk"), [(16_000, 160), (16_000, 4000), (48_000, 1024)])
@pytest.mark.parametrize("step_ms", [-12.0, 12.0, -200.0])
def test_a_lasting_step_of_the_timestamps_is_followed(bundle: Bundle, rate_hz: int, chunk: int, step_ms: float) -> None:
    # From 3 s on each piece says that it belongs earlier or later than the count of samples: an edit of the audio.
    times = times_at(25, 12.0)
    samples = make_audio(0.0, 12 * rate_hz, rate_hz=rate_hz)
    scorer = SyncScorer(bundle)
    records = []
    for start in range(0, len(samples), chunk):
        pts_seconds = start / rate_hz + (step_ms / 1000 if start >= 3 * rate_hz else 0.0)
        piece = samples[start : start + chunk]
        records += scorer.push_audio(piece, pts_seconds=pts_seconds, sample_rate_hz=rate_hz)
    for time, frame in zip(times, make_frames(times), strict=True):
        records += scorer.push_video(frame, pts_seconds=time)
    records += scorer.flush()
    settled = [record.audio_offset_ms for record in records if record.time_seconds >= 8]
    assert float(np.median([value for value in settled if value is not None])) == pytest.approx(-step_ms, abs=3)


def test_frames_that_do_not_advance_are_ignored(bundle: Bundle) -> None:
    times = times_at(25, 4.0)
    frames, samples = make_frames(times), make_audio(0.0, 4 * RATE_HZ)
    reference = feed(SyncScorer(bundle), times, frames, samples)
    scorer = SyncScorer(bundle)
    records = scorer.push_audio(samples, pts_seconds=0.0)
    for time, frame in zip(times, frames, strict=True):
        records += scorer.push_video(frame, pts_seconds=time)
        records += scorer.push_video(255 - frame, pts_seconds=time - 0.02)
    records += scorer.flush()
    assert scorer.num_ignored_frames == len(times)
    assert [record.to_dict() for record in records] == [record.to_dict() for record in reference]


BAD_PUSHES: list[tuple[str, dict[str, Any]]] = [
    ("push_video", {"frame": np.zeros((8, 8, 3), np.float32), "pts_seconds": 1.0}),
    ("push_video", {"frame": np.zeros((8, 8), np.uint8), "pts_seconds": 1.0}),
    ("push_video", {"frame": np.zeros((0, 8, 3), np.uint8), "pts_seconds": 1.0}),
    ("push_video", {"frame": "picture", "pts_seconds": 1.0}),
    ("push_video", {"frame": np.zeros((8, 8, 3), np.uint8), "pts_seconds": math.nan}),
    ("push_video", {"frame": np.zeros((8, 8, 3), np.uint8), "pts_seconds": math.inf}),
    ("push_video", {"frame": np.zeros((8, 8, 3), np.uint8), "pts_seconds": None}),
    ("push_audio", {"samples": np.zeros(160), "pts_seconds": 1.0}),
    ("push_audio", {"samples": [0.0], "pts_seconds": 1.0}),
    ("push_audio", {"samples": np.zeros((4, 2, 2), np.float32), "pts_seconds": 1.0}),
    ("push_audio", {"samples": np.full(160, np.nan, np.float32), "pts_seconds": 1.0}),
    ("push_audio", {"samples": np.full(160, 3e4, np.float32), "pts_seconds": 1.0}),
    ("push_audio", {"samples": np.zeros(160, np.float32), "pts_seconds": math.nan}),
    ("push_audio", {"samples": np.zeros(160, np.float32), "pts_seconds": 1.0, "sample_rate_hz": 0}),
    ("push_audio", {"samples": np.zeros(160, np.float32), "pts_seconds": 1.0, "sample_rate_hz": 44_100.5}),
]


def test_bad_input_is_refused_in_a_sentence_and_leaves_no_trace(bundle: Bundle) -> None:
    times = times_at(25, 4.0)
    frames, samples = make_frames(times), make_audio(0.0, 4 * RATE_HZ, audio_offset_ms=30.0)
    reference = feed(SyncScorer(bundle), times, frames, samples)
    scorer = SyncScorer(bundle)
    records = []
    for index, time in enumerate(times):
        records += scorer.push_video(frames[index], pts_seconds=time)
        records += scorer.push_audio(samples[640 * index : 640 * (index + 1)], pts_seconds=time)
        method, arguments = BAD_PUSHES[index % len(BAD_PUSHES)]
        with pytest.raises(MediaError, match=r": "):
            getattr(scorer, method)(**arguments)
    records += scorer.flush()
    assert [record.to_dict() for record in records] == [record.to_dict() for record in reference]
