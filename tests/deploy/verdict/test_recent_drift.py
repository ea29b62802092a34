"""Drift of a live stream: the same as of a file, found now and then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cavsync.deploy.verdict import trend
from cavsync.deploy.verdict.records import IN_SYNC, SyncScore
from cavsync.deploy.verdict.trend import RECENT_SECONDS, RecentDrift


def scores(seconds: float, ms_per_minute: float) -> Iterator[SyncScore]:
    for step in range(4, round(2 * seconds)):
        offset_ms = ms_per_minute * step / 120
        yield SyncScore(step / 2, 2.0, offset_ms, 5.0, offset_ms, 0.9, 0.9, IN_SYNC, "custom", True, is_measured=True)


def test_the_slope_of_the_recent_past() -> None:
    drift = RecentDrift()
    assert drift.ms_per_minute is None
    for score in scores(60, 30.0):
        drift.add(score)
    assert drift.ms_per_minute == pytest.approx(30.0)
    drift.clear()
    assert drift.ms_per_minute is None
    # A past that is older than what counts as recent has no say.
    for score in scores(3 * RECENT_SECONDS, 12.0):
        drift.add(score if score.time_seconds > RECENT_SECONDS else next(scores(3, -500.0)))
    assert drift.ms_per_minute == pytest.approx(12.0)


def test_asking_at_every_decision_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = trend.drift_ms_per_minute, []
    monkeypatch.setattr(trend, "drift_ms_per_minute", lambda found: calls.append(len(found)) or real(found))
    drift = RecentDrift()
    found = []
    for score in scores(132, 30.0):
        drift.add(score)
        found.append(drift.ms_per_minute)
    # Every pair of decisions is looked at once in 5 s, from the time on that there are enough of them.
    assert sum(count > 60 for count in calls) == pytest.approx((132 - 32) / 5, abs=1)
    assert {round(value, 3) for value in found if value is not None} == {30.0}
