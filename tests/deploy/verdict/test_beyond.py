"""A decision is taken back where a better match lies beyond the search range, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from cavsync.deploy.verdict.beyond import offset_beyond_ms, undecided_if_beyond
from cavsync.deploy.verdict.curve import Curve
from cavsync.deploy.verdict.records import SyncScore

LAGS_MS = np.arange(-20, 21) * 100.0
RANGE_MS = 1000.0
DECIDED = SyncScore(
    time_seconds=4.0,
    window_seconds=4.0,
    audio_offset_ms=-300.0,
    offset_resolution_ms=10.0,
    suggested_audio_delay_ms=-300.0,
    similarity=0.5,
    confidence=0.9,
    state="audio_late",
    profile="itu-bt1359-detect",
    within_profile=False,
    reason=None,
    is_measured=True,
)


def far_curve(peaks: dict[float, float]) -> Curve:
    """A curve over ±2 s with peaks by lag in ms, over a wave of 0.02."""
    similarity = 0.1 + 0.02 * np.sin(np.arange(len(LAGS_MS)) * 2.0)
    for lag_ms, height in peaks.items():
        similarity[lag_ms == LAGS_MS] = height
    return Curve(LAGS_MS, similarity, similarity[None], 100)


@pytest.mark.parametrize("lag_ms", [-1500.0, 1500.0])
def test_a_better_match_beyond_the_range(lag_ms: float) -> None:
    score = undecided_if_beyond(DECIDED, far_curve({300.0: 0.5, lag_ms: 0.8}), RANGE_MS)
    assert (score.state, score.is_measured, score.suggested_audio_delay_ms) == ("undetermined", False, None)
    assert score.within_profile is None
    assert score.audio_offset_ms == -300.0
    assert f"beyond ±1000 ms, near {-lag_ms / 1000:+.1f} s" in (score.reason or "")
    assert "--max-offset-ms 2000" in (score.reason or "")


def test_what_stays_decided() -> None:
    for peaks in ({300.0: 0.5}, {300.0: 0.8, 1500.0: 0.5}, {300.0: 0.5, -1000.0: 0.8}):
        assert undecided_if_beyond(DECIDED, far_curve(peaks), RANGE_MS) is DECIDED
    assert undecided_if_beyond(DECIDED, None, RANGE_MS) is DECIDED
    short = far_curve({1500.0: 0.8})
    short.similarity[np.abs(LAGS_MS) > RANGE_MS] = np.nan
    assert offset_beyond_ms(short, RANGE_MS) is None
    assert undecided_if_beyond(DECIDED, short, RANGE_MS) is DECIDED
