"""Waits double, stay under their bound, and begin anew after a success."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavsync.deploy.live.backoff import Backoff
from cavsync.errors import ConfigError


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(0.5, 6.0, draw=lambda: 1.0)
    assert [backoff.next_seconds() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 6.0, 6.0]
    assert backoff.tries == 6
    backoff.reset()
    assert (backoff.tries, backoff.next_seconds()) == (0, 0.5)


@given(st.floats(1e-3, 10), st.floats(1, 100), st.integers(1, 2000))
def test_jitter_takes_at_most_half(first_seconds: float, times: float, tries: int) -> None:
    low, high, drawn = (
        Backoff(first_seconds, first_seconds * times, draw=draw) for draw in (lambda: 0.0, lambda: 1.0, random.random)
    )
    for _ in range(tries):
        shortest, longest, wait = low.next_seconds(), high.next_seconds(), drawn.next_seconds()
        assert shortest == longest / 2
        assert shortest <= wait <= longest <= first_seconds * times


@pytest.mark.parametrize(("first", "longest"), [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0)])
def test_nonsense_is_refused(first: float, longest: float) -> None:
    with pytest.raises(ConfigError, match="first <= longest"):
        Backoff(first, longest)
