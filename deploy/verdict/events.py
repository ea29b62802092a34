"""When a live stream goes out of sync and when it is back: decisions with hysteresis become events."""

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
    """An event that began or ended (`phase`). Times are of the stream, in seconds; `end_seconds` is None in between.

    `state` is `audio_early` or `audio_late`; `extreme_ms` the largest offset so far, signed. `cause` of an end:
    decisions that say otherwise, or a stream that ended while the event lasted; None in between.
    """

    phase: str
    state: str
    start_seconds: float
    end_seconds: float | None
    extreme_ms: float
    cause: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The change as JSON holds it, with the names that a file's events have."""
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
    """Feed every decision of a stream in order; get the events that begin and end with it.

    An event begins with `begin_after` decisions in a row that are out of the limits on one side, and is dated back to
    the first of them. It ends with `end_after` in a row that say otherwise. An undetermined decision says nothing: it
    neither counts nor breaks a row, so an alarm holds until there is evidence that it is over.

    Raises:
        ConfigError: a number of decisions below one.
    """

    def __init__(self, *, begin_after: int = 2, end_after: int = 3) -> None:
        if min(begin_after, end_after) < 1:
            raise ConfigError(
                f"events begin after {begin_after} and end after {end_after} decisions: give 1 or more of each"
            )
        self._begin_after = begin_after
        self._end_after = end_after
        self._row: list[SyncScore] = []
        self.current: EventChange | None = None

    def update(self, record: SyncScore) -> list[EventChange]:
        """Add a decision; returns what changed with it, an end before a beginning."""
        if record.state == UNDETERMINED:
            return []
        current = self.current
        if current is not None and record.state == current.state:
            self._row.clear()
            self.current = _with_extreme(current, record)
            return []
        if self._row and self._row[-1].state != record.state:
            self._row.clear()
        if record.state == IN_SYNC and current is None:
            return []
        self._row.append(record)
        changes = []
        if current is not None and len(self._row) >= self._end_after:
            changes.append(self._end(self._row[0].time_seconds, DECISIONS))
        if self.current is None and record.state != IN_SYNC and len(self._row) >= self._begin_after:
            changes.append(self._begin())
        elif self.current is None and record.state == IN_SYNC:
            self._row.clear()
        return changes

    def finish(self, time_seconds: float) -> list[EventChange]:
        """The stream has ended; so has what lasted until then."""
        changes = [] if self.current is None else [self._end(time_seconds, STREAM_ENDED)]
        self._row.clear()
        return changes

    def _begin(self) -> EventChange:
        first = self._row[0]
        begun = EventChange(BEGAN, first.state, first.time_seconds, None, 0.0)
        for record in self._row:
            begun = _with_extreme(begun, record)
        self.current = begun
        self._row.clear()
        return begun

    def _end(self, time_seconds: float, cause: str) -> EventChange:
        assert self.current is not None
        ended = replace(self.current, phase=ENDED, end_seconds=time_seconds, cause=cause)
        self.current = None
        return ended


def _with_extreme(event: EventChange, record: SyncScore) -> EventChange:
    extreme_ms = max(event.extreme_ms, record.audio_offset_ms or 0.0, key=abs)
    return replace(event, extreme_ms=extreme_ms)
