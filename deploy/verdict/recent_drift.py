"""Drift of a live stream over the last ten minutes, recomputed at intervals."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from cavsync.deploy.verdict.records import SyncScore
from cavsync.deploy.verdict.trend import drift_ms_per_minute

RECENT_SECONDS = 600.0
STEP_SECONDS = 5.0


class RecentDrift:
    """Drift over the last `RECENT_SECONDS` of the decisions added so far (see `drift_ms_per_minute`).

    A value is kept for `STEP_SECONDS` of stream time, because computing it takes every pair of decisions.
    """

    def __init__(self) -> None:
        self._scores: deque[SyncScore] = deque()
        self._drift: float | None = None
        self._computed_seconds = 0.0

    def add(self, score: SyncScore) -> None:
        """Add the next decision."""
        # The curve and features are dropped: they are a hundred times as large.
        self._scores.append(replace(score, curve=None, features=None))
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
        if self._drift is None or not 0 <= now_seconds - self._computed_seconds < STEP_SECONDS:
            self._drift, self._computed_seconds = drift_ms_per_minute(list(self._scores)), now_seconds
        return self._drift
