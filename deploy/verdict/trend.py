"""Drift, worst offset and out-of-sync events over all decisions of a file, and the recent drift of a live stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from cavsync.deploy.verdict.events import DECISIONS, STREAM_ENDED
from cavsync.deploy.verdict.records import IN_SYNC, UNDETERMINED, SyncScore, rounded

MIN_DRIFT_WINDOWS = 8
MIN_DRIFT_SECONDS = 30.0
MAX_DRIFT_RESIDUAL_MS = 40.0
# Theil-Sen uses every pair of points, so longer series are decimated to this many.
MAX_DRIFT_POINTS = 600
RECENT_SECONDS = 600.0
RECOMPUTE_SECONDS = 5.0


@dataclass(frozen=True)
class Event:
    """An out-of-sync event from `start` to `end` (seconds); `extreme` is its largest offset (ms, signed).

    `cause` is what ended it: `decisions` of another state, `undetermined` ones, after which the fault may go on, or
    `stream_ended` where the file ends with it.
    """

    start: float
    end: float
    state: str
    extreme: float
    cause: str

    def to_dict(self) -> dict[str, Any]:
        """Return the event as a JSON object, rounded."""
        start, end = rounded("_seconds", self.start), rounded("_seconds", self.end)
        extreme = rounded("_ms", self.extreme)
        return {"start": start, "end": end, "state": self.state, "extreme": extreme, "cause": self.cause}


def drift_ms_per_minute(records: Sequence[SyncScore]) -> float | None:
    """Return the slope of the trusted offsets over time: the median slope of all pairs (Theil 1950, Sen 1968).

    None with fewer than `MIN_DRIFT_WINDOWS` trusted decisions, where they span less than `MIN_DRIFT_SECONDS`, or where
    half of them lie more than `MAX_DRIFT_RESIDUAL_MS` from the line.
    """
    points = [(record.time_seconds, record.audio_offset_ms) for record in records if record.is_measured]
    if len(points) < MIN_DRIFT_WINDOWS or points[-1][0] - points[0][0] < MIN_DRIFT_SECONDS:
        return None
    step = -(-len(points) // MAX_DRIFT_POINTS)
    times, offsets = np.array(points[::step], dtype=np.float64).T
    first, second = np.triu_indices(len(times), k=1)
    # Times repeat after the clock was set back.
    ahead = times[second] > times[first]
    slopes = (offsets[second] - offsets[first])[ahead] / (times[second] - times[first])[ahead]
    slope = float(np.median(slopes))
    apart = offsets - slope * times
    # Rejects jumps: a line through one misses most points.
    if np.median(np.abs(apart - np.median(apart))) > MAX_DRIFT_RESIDUAL_MS:
        return None
    return 60 * slope


class RecentDrift:
    """Drift over the last `RECENT_SECONDS` of the decisions added so far (see `drift_ms_per_minute`).

    A value is kept for `RECOMPUTE_SECONDS` of stream time, because computing it takes every pair of decisions.
    """

    def __init__(self) -> None:
        self._scores: deque[SyncScore] = deque()
        self._drift: float | None = None
        self._computed_seconds = 0.0

    def add(self, score: SyncScore) -> None:
        """Add the next decision."""
        self._scores.append(score.without_basis())
        while self._scores[0].time_seconds < score.time_seconds - RECENT_SECONDS:
            self._scores.popleft()

    def clear(self) -> None:
        """Forget all decisions, for another or a restarted sender."""
        self._scores.clear()
        self._drift = None

    @property
    def ms_per_minute(self) -> float | None:
        """Drift in ms per minute; None while there is too little data."""
        if not self._scores:
            return None
        now_seconds = self._scores[-1].time_seconds
        if self._drift is None or not 0 <= now_seconds - self._computed_seconds < RECOMPUTE_SECONDS:
            self._drift, self._computed_seconds = drift_ms_per_minute(list(self._scores)), now_seconds
        return self._drift


def worst_offset_ms(records: Sequence[SyncScore]) -> float | None:
    """Return the trusted offset farthest from zero, signed; None without a trusted offset."""
    offsets = [
        record.audio_offset_ms for record in records if record.is_measured and record.audio_offset_ms is not None
    ]
    return max(offsets, key=abs, default=None)


def out_of_sync_events(
    records: Sequence[SyncScore], step_seconds: float, start_seconds: float, end_seconds: float
) -> list[Event]:
    """Return the groups of consecutive early, or late, decisions; undetermined gaps up to one window are bridged.

    A decision covers `step_seconds` around the middle of its window; the first one extends to the start of the file and
    the last one to its end.
    """
    events = []
    bridged = _bridge(records, step_seconds)
    position = 0
    for state, states in groupby(bridged):
        count = len(list(states))
        group = records[position : position + count]
        if state not in (IN_SYNC, UNDETERMINED):
            offsets = [
                item.audio_offset_ms for item in group if item.state == state and item.audio_offset_ms is not None
            ]
            begin = start_seconds if position == 0 else _middle_seconds(group[0]) - step_seconds / 2
            end = end_seconds if position + count == len(records) else _middle_seconds(group[-1]) + step_seconds / 2
            cause = _cause(bridged[position + count :])
            events.append(Event(begin, end, state, max(offsets, key=abs), cause))
        position += count
    return events


def _cause(following: Sequence[str]) -> str:
    """Return what ended an event, by the states after it."""
    if not following:
        return STREAM_ENDED
    return UNDETERMINED if following[0] == UNDETERMINED else DECISIONS


def _bridge(records: Sequence[SyncScore], step_seconds: float) -> list[str]:
    """Return the states with undetermined gaps of at most one window filled where both sides have the same state."""
    states = [record.state for record in records]
    last = -1
    for index, state in enumerate(states):
        if state == UNDETERMINED:
            continue
        gap_seconds = (index - last - 1) * step_seconds
        if last >= 0 and states[last] == state and 0 < gap_seconds <= records[index].window_seconds:
            states[last + 1 : index] = [state] * (index - last - 1)
        last = index
    return states


def _middle_seconds(record: SyncScore) -> float:
    return record.time_seconds - record.window_seconds / 2
