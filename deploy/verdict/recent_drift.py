"""Drift of a live stream: that of its recent past, found anew only now and then."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from cavsync.deploy.verdict.records import SyncScore
from cavsync.deploy.verdict.trend import drift_ms_per_minute

RECENT_SECONDS = 600.0
STEP_SECONDS = 5.0


class RecentDrift:
    """Add every decision; `ms_per_minute` is the drift of the last `RECENT_SECONDS` (see `drift_ms_per_minute`).

    It looks at every pair of decisions, so a value holds for `STEP_SECONDS` of the stream.
    """

    def __init__(self) -> None:
        self._scores: deque[SyncScore] = deque()
        self._found: float | None = None
        self._found_seconds = 0.0

    def add(self, score: SyncScore) -> None:
        """The next decision."""
        # Without what it rests on, which is a hundred times as large.
        self._scores.append(replace(score, curve=None, features=None))
        while self._scores[0].time_seconds < score.time_seconds - RECENT_SECONDS:
            self._scores.popleft()

    def clear(self) -> None:
        """Another sender, or the same one begun anew, has a drift of its own."""
        self._scores.clear()
        self._found = None

    @property
    def ms_per_minute(self) -> float | None:
        """None while too little is known."""
        if not self._scores:
            return None
        now_seconds = self._scores[-1].time_seconds
        if self._found is None or not 0 <= now_seconds - self._found_seconds < STEP_SECONDS:
            self._found, self._found_seconds = drift_ms_per_minute(list(self._scores)), now_seconds
        return self._found
