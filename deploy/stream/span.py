"""A contiguous span of frames on one clock, and the decisions made on it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from cavsync.deploy.stream.grid import Grid
from cavsync.deploy.stream.limits import HOLE_SECONDS
from cavsync.deploy.stream.rows import Row

# A window ends at a frame's timestamp, which containers round to a millisecond.
TIME_TOLERANCE_SECONDS = 1e-3

Decision = TypeVar("Decision")


class Span(Generic[Decision]):
    """Judges the windows of a span: (rows, end of the window in seconds, its length in seconds) -> decision.

    Add rows in order; windows end `window_seconds` after the first row and then every `decision_step_seconds`.
    """

    def __init__(self, grid: Grid, judge: Callable[[list[Row], float, float], Decision], first: Row) -> None:
        self._grid = grid
        self._judge = judge
        self._rows: deque[Row] = deque()
        self._num_decisions = 0
        self._start_seconds = first.time_seconds
        self._last = first

    @property
    def epoch(self) -> int:
        """Epoch of the frames' clock."""
        return self._last.epoch

    @property
    def rest(self) -> list[Row]:
        """The rows that no decision so far has seen."""
        if self._num_decisions == 0:
            return []
        last_seconds = self._next_end_seconds() - self._grid.decision_step_seconds - TIME_TOLERANCE_SECONDS
        return [row for row in self._rows if row.time_seconds >= last_seconds]

    def continues_with(self, row: Row) -> bool:
        """Whether the row belongs to this span."""
        return row.epoch == self._last.epoch and row.time_seconds - self._last.time_seconds <= HOLE_SECONDS

    def add(self, row: Row) -> list[Decision]:
        """Add the next row; return the decisions about windows that end before it."""
        decisions = []
        while row.time_seconds >= (end_seconds := self._next_end_seconds()) - TIME_TOLERANCE_SECONDS:
            decisions.append(self._decide(end_seconds))
        self._rows.append(row)
        self._last = row
        return decisions

    def finish(self, *, last_epoch: int = -1, last_seconds: float = -math.inf) -> list[Decision]:
        """Return the remaining decisions; a span shorter than one window gives one.

        last_epoch, last_seconds: epoch and timestamp of the last frame of the stream, which may have produced no row
            and may belong to another span.
        """
        period_seconds = self._last.period_seconds if math.isfinite(self._last.period_seconds) else 0.0
        end_seconds = self._last.time_seconds + period_seconds
        if last_epoch == self._last.epoch and last_seconds <= self._last.time_seconds + HOLE_SECONDS:
            end_seconds = max(end_seconds, last_seconds + period_seconds)
        # Allow half a frame more: the period of the last frame is an estimate.
        until_seconds = end_seconds + max(period_seconds / 2, TIME_TOLERANCE_SECONDS)
        decisions = []
        while (next_seconds := self._next_end_seconds()) <= until_seconds:
            decisions.append(self._decide(next_seconds))
        if self._num_decisions == 0:
            decisions.append(self._judge(list(self._rows), end_seconds, end_seconds - self._start_seconds))
        return decisions

    def _next_end_seconds(self) -> float:
        return self._start_seconds + self._grid.window_seconds + self._num_decisions * self._grid.decision_step_seconds

    def _decide(self, end_seconds: float) -> Decision:
        start_seconds = end_seconds - self._grid.window_seconds - TIME_TOLERANCE_SECONDS
        while self._rows and self._rows[0].time_seconds < start_seconds:
            self._rows.popleft()
        self._num_decisions += 1
        inside = [row for row in self._rows if row.time_seconds < end_seconds - TIME_TOLERANCE_SECONDS]
        return self._judge(inside, end_seconds, self._grid.window_seconds)
