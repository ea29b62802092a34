"""Timestamps that are set back, jump, stop or end: decisions recover or say why there are none, in bounded memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from streams import RATE_HZ
from sync_clips import make_audio, make_frames

from cavsync.deploy import Bundle, SyncScore, SyncScorer
from cavsync.errors import MediaError

OFFSET_MS = 80.0
PIECE = 1000


@dataclass(frozen=True)
class Part:
    """`seconds` of the world in a row; its timestamps begin at `video_pts` and `audio_pts`, None for a lost part."""

    seconds: float
    video_pts: float | None
    audio_pts: float | None


Push = tuple[float, int, float, np.ndarray]


def pushes(parts: list[Part], piece: int = PIECE) -> list[Push]:
    """(world time, track, timestamp, data) in the order of the world; the audio is early by OFFSET_MS throughout."""
    found: list[Push] = []
    begin = 0.0
    for part in parts:
        if part.video_pts is not None:
            steps = np.arange(round(part.seconds * 25)) / 25
            frames = make_frames(begin + steps)
            found += [
                (begin + step, 1, part.video_pts + step, frame) for step, frame in zip(steps, frames, strict=True)
            ]
        if part.audio_pts is not None:
            samples = make_audio(begin, round(part.seconds * RATE_HZ), audio_offset_ms=OFFSET_MS)
            for start in range(0, len(samples), piece):
                place = start / RATE_HZ
                found.append((begin + place, 0, part.audio_pts + place, samples[start : start + piece]))
        begin += part.seconds
    return sorted(found, key=lambda push: push[:2])


def run(scorer: SyncScorer, found: list[Push], audio_leads_by: float = 0.0) -> list[SyncScore]:
    records: list[SyncScore] = []
    for _, track, pts, data in sorted(found, key=lambda push: (push[0] - (0 if push[1] else audio_leads_by), push[1])):
        if track == 1:
            records += scorer.push_video(data, pts_seconds=pts)
        else:
            records += scorer.push_audio(data, pts_seconds=pts)
    return records + scorer.flush()


def both(seconds: float, pts: float) -> Part:
    return Part(seconds, pts, pts)


WRAP = 2**33 / 90_000


@pytest.mark.parametrize(
    "parts",
    [
        [both(5, WRAP - 5), both(5, 0.0)],
        [both(5, 1000.0), both(5, 1000.0)],
        [both(5, 0.0), both(5, 86_400.0)],
        [both(5, 0.0), Part(60, None, None), both(5, 65.0)],
        [both(5, 0.0), both(5, 65.0), both(5, 3.0)],
    ],
    ids=["wrap", "sender starts again", "jump by a day", "a minute is lost", "ahead and back"],
)
def test_both_clocks_change_and_decisions_recover(bundle: Bundle, parts: list[Part]) -> None:
    records = run(SyncScorer(bundle), pushes(parts))
    for part in parts:
        if part.video_pts is None:
            continue
        assert part.video_pts is not None
        inside = [r for r in records if part.video_pts + 2 <= r.time_seconds <= part.video_pts + part.seconds]
        assert len(inside) >= 6
        assert all(record.is_measured for record in inside)
        assert [record.audio_offset_ms for record in inside] == pytest.approx([OFFSET_MS] * len(inside), abs=8)
    # No flood of decisions about a hole.
    assert len(records) <= 8 * len(parts)


def test_a_pause_is_no_event(bundle: Bundle) -> None:
    """Timestamps that go on where they stopped are an unbroken stream, however long nothing came."""
    plain = run(SyncScorer(bundle), pushes([both(8, 0.0)]))
    paused = run(SyncScorer(bundle), pushes([both(4, 0.0), Part(3600, None, None)]) + pushes_after(4.0))
    assert [record.to_dict() for record in paused] == [record.to_dict() for record in plain]


def pushes_after(begin: float) -> list[Push]:
    return [push for push in pushes([both(8, 0.0)]) if push[0] >= begin]


@pytest.mark.parametrize("lone", ["video", "audio"])
def test_one_clock_set_back_alone_gives_no_offset(bundle: Bundle, lone: str) -> None:
    wrong = Part(20, 5.0 if lone == "audio" else -5000.0, 5.0 if lone == "video" else -5000.0)
    parts = [both(5, 0.0), wrong, both(6, 20_000.0)]
    scorer = SyncScorer(bundle)
    records = run(scorer, pushes(parts))
    mended = [record for record in records if record.time_seconds >= 20_002]
    assert len(mended) >= 7
    assert all(record.is_measured for record in mended)
    pts = -5000.0 if lone == "video" else 5.0
    alone = [record for record in records if pts + 2.5 <= record.time_seconds <= pts + 20]
    assert len(alone) >= 30
    assert all(record.audio_offset_ms is None and "no audio" in (record.reason or "") for record in alone)


def test_frames_that_jump_ahead_alone_and_return_are_scored(bundle: Bundle) -> None:
    records = run(SyncScorer(bundle), pushes([both(5, 0.0), Part(1, 400.0, 5.0), both(8, 6.0)]))
    late = [record for record in records if 8 <= record.time_seconds <= 14]
    assert len(late) >= 10
    assert all(math.isclose(record.audio_offset_ms or 0.0, OFFSET_MS, abs_tol=8) for record in late)


@pytest.mark.parametrize("ending", ["audio", "video"])
def test_one_track_ends_early(bundle: Bundle, ending: str) -> None:
    parts = [both(5, 0.0), Part(100, None if ending == "video" else 5.0, None if ending == "audio" else 5.0)]
    scorer = SyncScorer(bundle, max_lead_seconds=10.0)
    kept = []
    records: list[SyncScore] = []
    for _, track, pts, data in pushes(parts, piece=RATE_HZ):
        records += scorer.push_video(data, pts_seconds=pts) if track == 1 else scorer.push_audio(data, pts_seconds=pts)
        kept.append(held_bytes(scorer))
    # Decisions without audio come when the frames are as far ahead as they may be, not only at the end.
    if ending == "audio":
        assert max(record.time_seconds for record in records) > 90
        assert "no audio" in (records[-1].reason or "")
    # Of the audio that waits for frames as much as frames may be behind, and the search range and its segment.
    assert max(kept) <= 4 * RATE_HZ * (10 + 2 * 0.6 + 2 * 0.64 + 0.1 + 1)
    records += scorer.flush()
    assert sum(record.is_measured for record in records) >= 6


def held_bytes(scorer: SyncScorer) -> int:
    """What the tracks keep: samples, small frames, and embeddings that wait."""
    stream = scorer._stream
    samples = sum(stretch.num_samples for stretch in stream.audio._stretches)
    small = sum(frame.pixels.nbytes for epoch in stream.video._epochs for frame in epoch.frames)
    return 4 * samples + small + sum(group.embeddings.nbytes for group in stream._groups)


def test_late_audio_is_still_used(bundle: Bundle) -> None:
    found = pushes([both(12, 0.0)])
    in_time = run(SyncScorer(bundle), found)
    late = run(SyncScorer(bundle), found, audio_leads_by=-8.0)
    assert [record.to_dict() for record in late] == [record.to_dict() for record in in_time]
    too_late = run(SyncScorer(bundle, max_lead_seconds=2.0), found, audio_leads_by=-8.0)
    assert all(record.audio_offset_ms is None for record in too_late if record.time_seconds < 6)


def test_timestamps_that_jump_ahead_do_not_make_audio_late(bundle: Bundle) -> None:
    found = pushes([both(3, pts) for pts in (0.0, 40.0, 90_000.0, 5.0)])
    in_time = run(SyncScorer(bundle, max_lead_seconds=8.0), found)
    later = run(SyncScorer(bundle, max_lead_seconds=8.0), found, audio_leads_by=-2.0)
    assert [record.to_dict() for record in later] == [record.to_dict() for record in in_time]
    assert all(record.is_measured for record in in_time)


PARTS = st.lists(
    st.builds(
        Part,
        st.sampled_from([1.0, 3.0, 4.0]),
        st.sampled_from([None, 0.0, 5.0, 40.0, 90_000.0, -300.0]),
        st.sampled_from([None, 0.0, 5.0, 40.0, 90_000.0, -300.0]),
    ),
    min_size=1,
    max_size=5,
)


# A clock jumps ahead after it was set back: the audio that has come as far is of another epoch.
@example(
    parts=[Part(1.0, 0.0, None), Part(1.0, -300.0, 5.0), Part(1.0, 0.0, 0.0)], together=False, piece=200, lead=-2.0
)
@example(
    parts=[
        both(0.4, 90_000.0),
        Part(8.0, 40.0, None),
        both(8.0, 40.0),
        both(2.0, 60.0),
        Part(4.0, -1.5, 0.0),
        Part(0.4, 2.2, -300.0),
    ],
    together=False,
    piece=200,
    lead=2.0,
)
# A second of audio with timestamps out of line, whether in one piece or in many.
@example(parts=[both(3, 0.0), both(1, 0.0), both(3, 5.0), both(4, 5.0)], together=False, piece=19_026, lead=2.0)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=PARTS, together=st.booleans(), piece=st.integers(200, 40_000), lead=st.sampled_from([-2.0, -0.1, 0.3, 2.0])
)
def test_what_a_stream_does_never_depends_on_its_pieces(
    bundle: Bundle, parts: list[Part], together: bool, piece: int, lead: float
) -> None:
    if together:
        parts = [both(part.seconds, part.video_pts or 0.0) for part in parts]
    reference = run(SyncScorer(bundle), pushes(parts))
    cut = run(SyncScorer(bundle), pushes(parts, piece), audio_leads_by=lead)
    assert len(cut) == len(reference)
    for record, wanted in zip(cut, reference, strict=True):
        assert record.to_dict() == wanted.to_dict()
        if wanted.audio_offset_ms is not None:
            assert record.audio_offset_ms == pytest.approx(wanted.audio_offset_ms, abs=1e-6)


@pytest.mark.parametrize(("true_hz", "declared_hz"), [(32_000, 16_000), (48_000, 44_100), (44_100, 48_000)])
def test_a_rate_that_the_timestamps_contradict_is_refused(bundle: Bundle, true_hz: int, declared_hz: int) -> None:
    samples = make_audio(0.0, 12 * true_hz, rate_hz=true_hz)
    scorer = SyncScorer(bundle)
    refused = []
    for start in range(0, len(samples), true_hz // 50):
        # As from a container that rounds to milliseconds.
        seconds = round(start / true_hz, 3)
        piece = samples[start : start + true_hz // 50]
        # What is right for a second time is taken again.
        rate_hz = declared_hz if seconds < 8 else true_hz
        try:
            scorer.push_audio(piece, pts_seconds=seconds, sample_rate_hz=rate_hz)
        except MediaError:
            refused.append(seconds)
    # From the second span of two seconds of declared audio on, every piece, until a span is right.
    assert refused[0] == pytest.approx(4 * declared_hz / true_hz, abs=0.3)
    assert len(refused) == pytest.approx((refused[-1] - refused[0]) * 50, abs=2)
    assert 8 <= refused[-1] <= 12


def test_lost_packets_are_no_wrong_rate(bundle: Bundle) -> None:
    samples = make_audio(0.0, 12 * RATE_HZ)
    random = np.random.default_rng(3)
    scorer = SyncScorer(bundle)
    for start in range(0, len(samples), 320):
        if random.random() > 0.2:
            scorer.push_audio(samples[start : start + 320], pts_seconds=start / RATE_HZ)


@pytest.mark.parametrize("last_pts", [3600.0, 1e9])
@pytest.mark.parametrize("adaptive", [False, True])
def test_a_last_frame_long_after_all_others_is_no_flood(bundle: Bundle, adaptive: bool, last_pts: float) -> None:
    found = pushes([both(6, 0.0)])
    last = (7.0, 1, last_pts, np.zeros((8, 8, 3), np.uint8))
    records = run(SyncScorer(bundle, adaptive=adaptive), [*found, last])
    assert 8 <= len(records) <= 11


def test_hostile_timestamps_fill_no_memory(bundle: Bundle) -> None:
    frame = np.zeros((8, 8, 3), np.uint8)
    crawling = SyncScorer(bundle)
    for index in range(3000):
        crawling.push_video(frame, pts_seconds=index * 1e-9)
    assert held_bytes(crawling) < 10_000
    assert crawling.num_ignored_frames == 2999
    scattered = SyncScorer(bundle)
    for index in range(3000):
        scattered.push_audio(np.zeros(1, np.float32), pts_seconds=11.0 * index)
    assert len(scattered._stream.audio._stretches) < 60
    set_back = SyncScorer(bundle)
    for index in range(3000):
        set_back.push_video(frame, pts_seconds=-5.0 * index)
    assert len(set_back._stream._groups) < 60
    assert len(set_back._stream.video._epochs) < 60


def test_a_frame_far_ahead_and_back_does_not_stop_a_stream(bundle: Bundle) -> None:
    found = pushes([both(12, 0.0)])
    stray = (6.0, 1, 1e9, np.zeros((8, 8, 3), np.uint8))
    records = run(SyncScorer(bundle), [*found, stray])
    assert len(records) < 40
    late = [record for record in records if 8.1 < record.time_seconds <= 12]
    assert len(late) >= 6
    assert all(math.isclose(record.audio_offset_ms or 0.0, OFFSET_MS, abs_tol=8) for record in late)
