"""Events of a live stream going out of sync and back, derived from its decisions with hysteresis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cavsync.deploy.verdict.records import IN_SYNC, UNDETERMINED, SyncScore, rounded
from cavsync.errors import ConfigError

BEGAN = "began"
ENDED = "ended"
DECISIONS = "decisions"
STREAM_ENDED = "stream_ended"


@dataclass(frozen=True)
class EventChange:
    """The beginning or end (`phase`) of an event, in stream time.

    `state` is `audio_early` or `audio_late`; `extreme_ms` is the largest offset so far, signed. `end_seconds` and
    `cause` are None until the event ends; the cause is then `decisions`, or `stream_ended` for an event still open.
    """

    phase: str
    state: str
    start_seconds: float
    end_seconds: float | None
    extreme_ms: float
    cause: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the change as a JSON object with the field names of a file's events, rounded."""
        return {
            "kind": "event",
            "phase": self.phase,
            "state": self.state,
            "start": rounded("_seconds", self.start_seconds),
            "end": rounded("_seconds", self.end_seconds),
            "extreme": rounded("_ms", self.extreme_ms),
            "cause": self.cause,
        }


class EventTracker:
    """Turns the decisions of a stream, passed in order, into the beginnings and ends of events.

    An event begins after `begin_after` consecutive decisions outside the limits on one side, and starts at the first of
    them. It ends after `end_after` consecutive decisions of another state. Undetermined decisions are ignored: they
    neither count nor interrupt a sequence, so an alarm lasts until there is evidence of its end.

    Raises:
        ConfigError: `begin_after` or `end_after` is below one.
    """

    def __init__(self, *, begin_after: int = 2, end_after: int = 3) -> None:
        check_rules(begin_after, end_after)
        self._begin_after = begin_after
        self._end_after = end_after
        self._pending: list[SyncScore] = []
        self.current: EventChange | None = None

    def update(self, record: SyncScore) -> list[EventChange]:
        """Add a decision; returns the changes that it causes, an end before a beginning."""
        if record.state == UNDETERMINED:
            return []
        current = self.current
        if current is not None and record.state == current.state:
            self._pending.clear()
            self.current = _with_extreme(current, record)
            return []
        if self._pending and self._pending[-1].state != record.state:
            self._pending.clear()
        if record.state == IN_SYNC and current is None:
            return []
        self._pending.append(record)
        changes = []
        if current is not None and len(self._pending) >= self._end_after:
            changes.append(self._end(self._pending[0].time_seconds, DECISIONS))
        if self.current is None and record.state != IN_SYNC and len(self._pending) >= self._begin_after:
            changes.append(self._begin())
        elif self.current is None and record.state == IN_SYNC:
            self._pending.clear()
        return changes

    def finish(self, time_seconds: float) -> list[EventChange]:
        """End the open event, if any, because the stream has ended at `time_seconds`."""
        changes = [] if self.current is None else [self._end(time_seconds, STREAM_ENDED)]
        self._pending.clear()
        return changes

    def _begin(self) -> EventChange:
        first = self._pending[0]
        begun = EventChange(BEGAN, first.state, first.time_seconds, None, 0.0)
        for record in self._pending:
            begun = _with_extreme(begun, record)
        self.current = begun
        self._pending.clear()
        return begun

    def _end(self, time_seconds: float, cause: str) -> EventChange:
        assert self.current is not None
        ended = replace(self.current, phase=ENDED, end_seconds=time_seconds, cause=cause)
        self.current = None
        return ended


def check_rules(begin_after: int, end_after: int) -> None:
    """Raise ConfigError if events cannot begin or end after so many decisions."""
    if min(begin_after, end_after) < 1:
        raise ConfigError(
            f"events begin after {begin_after} and end after {end_after} decisions: give 1 or more of each"
        )


def _with_extreme(event: EventChange, record: SyncScore) -> EventChange:
    extreme_ms = max(event.extreme_ms, record.audio_offset_ms or 0.0, key=abs)
    return replace(event, extreme_ms=extreme_ms)
