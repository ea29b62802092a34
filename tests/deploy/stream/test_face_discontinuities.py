"""The face path where clocks are set back or jump and audio is missing or late: it recovers, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from face_clips import absent, frames_of, speaking
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streams import RATE_HZ, times_at
from sync_clips import make_audio

from cavsync.deploy import Bundle, SyncScore, SyncScorer

Array = np.ndarray[Any, Any]
OFFSET_MS = 80.0
PIECE = 1600
WRAP = 2**33 / 90_000
Push = tuple[float, int, float, Array]


def part(begin: float, seconds: float, video_pts: float | None, audio_pts: float | None) -> list[Push]:
    """(world time, track, timestamp, data) of `seconds` of the world; None for a track that is lost."""
    found: list[Push] = []
    if video_pts is not None:
        times = times_at(25, seconds, begin)
        frames = frames_of(speaking(times), absent(times))
        found += [(time, 1, video_pts + time - begin, frame) for time, frame in zip(times, frames, strict=True)]
    if audio_pts is not None:
        samples = make_audio(begin, round(seconds * RATE_HZ), audio_offset_ms=OFFSET_MS)
        for start in range(0, len(samples), PIECE):
            place = start / RATE_HZ
            found.append((begin + place, 0, audio_pts + place, samples[start : start + PIECE]))
    return found


def run(scorer: SyncScorer, pushes: list[Push], audio_leads_by: float = 0.0) -> list[SyncScore]:
    records: list[SyncScore] = []
    for _, track, pts, data in sorted(pushes, key=lambda push: (push[0] - (0 if push[1] else audio_leads_by), push[1])):
        if track == 1:
            records += scorer.push_video(data, pts_seconds=pts)
        else:
            records += scorer.push_audio(data, pts_seconds=pts)
    return records + scorer.flush()


CHANGES = {
    "wrap": [(WRAP - 5, WRAP - 5), (0.0, 0.0)],
    "sender starts again": [(1000.0, 1000.0), (1000.0, 1000.0)],
    "jump by a day": [(0.0, 0.0), (86_400.0, 86_400.0)],
    "ahead and back": [(0.0, 0.0), (65.0, 65.0), (3.0, 3.0)],
}


@pytest.mark.parametrize("starts", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("lead", [0.0, 1.0, -1.0])
def test_both_clocks_change_and_decisions_recover(
    face_bundle: Bundle, starts: list[tuple[float, float]], lead: float
) -> None:
    pushes = [push for index, pts in enumerate(starts) for push in part(5.0 * index, 5.0, *pts)]
    records = run(SyncScorer(face_bundle, path="face"), pushes, lead)
    for start, _ in starts:
        inside = [record for record in records if start + 2 <= record.time_seconds <= start + 5]
        assert len(inside) >= 6
        assert all(record.is_measured for record in inside)
        assert [record.audio_offset_ms for record in inside] == pytest.approx([OFFSET_MS] * len(inside), abs=8)
    assert len(records) <= 8 * len(starts)


@pytest.mark.parametrize("lone", ["video", "audio"])
def test_one_clock_set_back_alone_gives_no_offset(face_bundle: Bundle, lone: str) -> None:
    video_pts, audio_pts = (-5000.0, 5.0) if lone == "video" else (5.0, -5000.0)
    pushes = part(0.0, 5.0, 0.0, 0.0) + part(5.0, 12.0, video_pts, audio_pts) + part(17.0, 5.0, 20_000.0, 20_000.0)
    records = run(SyncScorer(face_bundle, path="face"), pushes)
    alone = [record for record in records if video_pts + 2.5 <= record.time_seconds <= video_pts + 12]
    mended = [record for record in records if record.time_seconds >= 20_002]
    assert len(alone) >= 15
    assert all(record.audio_offset_ms is None and "no audio" in (record.reason or "") for record in alone)
    assert len(mended) >= 6
    assert all(record.is_measured for record in mended)


def test_audio_that_comes_late_or_never(face_bundle: Bundle) -> None:
    """With a lead of 2 s, audio that is a second late changes nothing; none at all holds no decision up."""
    pushes = part(0.0, 6.0, 0.0, 0.0)
    scorer = SyncScorer(face_bundle, path="face", max_lead_seconds=2.0)
    assert [record.to_dict() for record in run(scorer, pushes, -1.0)] == [
        record.to_dict() for record in run(SyncScorer(face_bundle, path="face"), pushes)
    ]
    mute = SyncScorer(face_bundle, path="face", max_lead_seconds=2.0)
    decided = []
    for _, _, pts, frame in part(0.0, 8.0, 0.0, None):
        decided += [(pts, record) for record in mute.push_video(frame, pts_seconds=pts)]
    assert len(decided) >= 7
    assert all("no audio" in (record.reason or "") for _, record in decided)
    # The lead, a group of 0.64 s and half the frames that the model sees.
    assert max(pts - record.time_seconds for pts, record in decided) < 2.0 + 2 * 0.64 + 0.5


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.floats(0.3, 3.0), st.sampled_from([0.0, 0.07, 0.5, 12.0, -1.5, -50.0])), min_size=1, max_size=4
    ),
    lead=st.sampled_from([0.5, -0.5, 3.0]),
)
def test_interleaving_changes_nothing_whatever_the_clocks_do(
    face_bundle: Bundle, steps: list[tuple[float, float]], lead: float
) -> None:
    pushes, begin, pts = [], 0.0, 10.0
    for seconds, jump in steps:
        pushes += part(begin, round(seconds, 2), pts, pts)
        begin, pts = begin + round(seconds, 2), pts + round(seconds, 2) + jump
    reference = run(SyncScorer(face_bundle), pushes)
    records = run(SyncScorer(face_bundle), pushes, lead)
    assert [record.to_dict() for record in records] == [record.to_dict() for record in reference]


def test_memory_is_bounded(face_bundle: Bundle) -> None:
    """After a minute the scorer holds no more rows, groups and audio than after 20 s."""
    scorer = SyncScorer(face_bundle, path="auto", max_lead_seconds=2.0)
    held = []
    for begin in range(0, 60, 4):
        for _, track, pts, data in sorted(part(begin, 4.0, begin, begin), key=lambda push: push[:2]):
            if track == 1:
                scorer.push_video(data, pts_seconds=pts)
            else:
                scorer.push_audio(data, pts_seconds=pts)
        faces = scorer._faces
        assert faces is not None
        runs = sum(len(run.encoded) for run in faces._grid._runs.values())
        samples = sum(stretch.num_samples for stretch in faces.audio._stretches)
        held.append((len(faces._rows), len(faces._groups), len(scorer._windows), runs, samples))
    early, late = np.array(held[4:6]).max(axis=0), np.array(held[-2:]).max(axis=0)
    assert (late <= 1.1 * early + 2).all(), (early, late)
