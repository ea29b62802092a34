"""Events of a live stream: hysteresis, undetermined decisions, and every alarm that begins also ends."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavsync.deploy.verdict.events import EventChange, EventTracker
from cavsync.deploy.verdict.records import AUDIO_EARLY, AUDIO_LATE, IN_SYNC, UNDETERMINED, SyncScore
from cavsync.errors import ConfigError

OFFSET_MS = {IN_SYNC: 10.0, AUDIO_EARLY: 200.0, AUDIO_LATE: -300.0, UNDETERMINED: None}
LETTERS = {"s": IN_SYNC, "e": AUDIO_EARLY, "l": AUDIO_LATE, "u": UNDETERMINED}


def decision(state: str, time_seconds: float) -> SyncScore:
    return SyncScore(time_seconds, 2.0, OFFSET_MS[state], 5.0, None, 0.5, 0.9, state, "custom", None)


def run(states: str, tracker: EventTracker | None = None) -> list[EventChange]:
    tracker = tracker or EventTracker()
    changes = [
        change for index, state in enumerate(states) for change in tracker.update(decision(LETTERS[state], index))
    ]
    return changes + tracker.finish(len(states))


def spans(states: str) -> list[tuple[str, float, float | None]]:
    return [
        (change.state, change.start_seconds, change.end_seconds) for change in run(states) if change.phase == "ended"
    ]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("ssslsss", []),
        ("sslleesss", [(AUDIO_LATE, 2, 6)]),
        ("ssllllsss", [(AUDIO_LATE, 2, 6)]),
        ("lulus", [(AUDIO_LATE, 0, 5)]),
        ("llslslsuu", [(AUDIO_LATE, 0, 9)]),
        ("lllleee", [(AUDIO_LATE, 0, 4), (AUDIO_EARLY, 4, 7)]),
        ("lsllsss", [(AUDIO_LATE, 2, 4)]),
        ("elelel", []),
        ("uuuu", []),
    ],
)
def test_what_counts_as_an_event(states: str, expected: list[tuple[str, float, float]]) -> None:
    assert spans(states) == expected


@given(st.text(alphabet="selu", max_size=60))
def test_events_alternate_and_undetermined_decisions_change_nothing(states: str) -> None:
    changes = run(states)
    assert [change.phase for change in changes] == ["began", "ended"] * (len(changes) // 2)
    assert all(change.start_seconds <= (change.end_seconds or change.start_seconds) for change in changes)
    known = [(index, state) for index, state in enumerate(states) if state != "u"]
    tracker = EventTracker()
    alone = [change for index, state in known for change in tracker.update(decision(LETTERS[state], index))]
    assert alone + tracker.finish(len(states)) == changes


@given(st.text(alphabet="sel", max_size=60))
def test_a_beginning_needs_a_run_and_a_run_makes_a_beginning(states: str) -> None:
    runs = [(state, len(list(group))) for state, group in groupby(states)]
    began = [change.state for change in run(states) if change.phase == "began"]
    if not any(state != "s" and length >= 2 for state, length in runs):
        assert began == []
    first = next((state for state, length in runs if state != "s" and length >= 2), None)
    assert began[:1] == ([LETTERS[first]] if first else [])


def test_the_largest_offset_of_the_event_is_kept() -> None:
    tracker = EventTracker()
    late = decision(AUDIO_LATE, 0.0)
    for index, offset_ms in enumerate((-200.0, -450.0, -250.0)):
        tracker.update(replace(late, time_seconds=index, audio_offset_ms=offset_ms))
    (ended,) = tracker.finish(3.0)
    assert ended.to_dict() == {
        "kind": "event", "phase": "ended", "state": AUDIO_LATE, "start": 0.0, "end": 3.0, "extreme": -450.0,
        "cause": "stream_ended",
    }  # fmt: skip


def test_zero_decisions_are_refused() -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        EventTracker(begin_after=0)


def test_an_end_says_whether_it_is_in_sync_again() -> None:
    assert [change.cause for change in run("lllsss")] == [None, "decisions"]
    assert [change.cause for change in run("lll")] == [None, "stream_ended"]
