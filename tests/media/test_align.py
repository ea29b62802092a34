"""Alignment arithmetic against brute force."""

from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavsync.media.align import (
    even_indices,
    nearest_index,
    num_log_mel_frames,
    segment_center_seconds,
    segment_start_frame,
    shown_seconds,
    tubelet_times_seconds,
    upstream_start_frame,
)


@given(st.integers(-1000, 10_000), st.integers(1, 1024))
def test_start_and_centre_are_inverse(start: int, length: int) -> None:
    """The segment nearest to a segment's own centre is that segment."""
    assert segment_start_frame(float(segment_center_seconds(start, length)), length) == start


@given(st.floats(-10, 100), st.integers(1, 1024))
def test_centre_is_within_half_a_frame(time_seconds: float, length: int) -> None:
    """No segment's centre is farther than 5 ms from the moment that was asked for."""
    start = int(segment_start_frame(time_seconds, length))
    assert abs(float(segment_center_seconds(start, length)) - time_seconds) <= 0.005 + 1e-9


def test_centre_by_hand() -> None:
    """One frame covers samples 0 to 400: its middle is 12.5 ms. Three frames are centred 10 ms later."""
    assert segment_center_seconds(0, 1) == pytest.approx(0.0125)
    assert segment_center_seconds(0, 3) == pytest.approx(0.0225)


@given(st.integers(0, 5000))
def test_number_of_frames(samples: int) -> None:
    """Counted window by window."""
    assert num_log_mel_frames(samples) == sum(160 * m + 400 <= samples for m in range(samples // 160 + 1))


@given(st.lists(st.integers(1, 500), min_size=1, max_size=30), st.integers(1, 20))
def test_even_indices(steps: list[int], count: int) -> None:
    """Against exact fractions: nearest to i / count of the time that they are shown."""
    times = list(accumulate(steps))
    shown = Fraction((times[-1] - times[0]) * len(times), max(1, len(times) - 1))
    gaps = [[abs(time - times[0] - shown * i / count) for time in times] for i in range(count)]
    # Rounding may decide between equal gaps.
    for found, gap in zip(even_indices(np.array(times, dtype=np.float64), count), gaps, strict=True):
        assert gap[found] == pytest.approx(float(min(gap)), abs=1e-6)
    assert shown_seconds(np.array(times, dtype=np.float64)) == pytest.approx(float(shown))


@given(
    st.lists(st.integers(0, 10_000), min_size=1, max_size=30, unique=True),
    st.lists(st.integers(-500, 11_000), min_size=1, max_size=10),
)
def test_nearest_index(times: list[int], wanted: list[int]) -> None:
    """Against the smallest distance, ties to the earlier."""
    ascending = np.asarray(sorted(times), dtype=np.float64)
    brute = [int(np.argmin(np.abs(ascending - moment))) for moment in wanted]
    assert nearest_index(ascending, np.asarray(wanted, dtype=np.float64)).tolist() == brute


def test_tubelet_times() -> None:
    """Centred on the moment; an even number has one more before it."""
    np.testing.assert_allclose(tubelet_times_seconds(np.array([1.0]), 5, 0.04), [[0.92, 0.96, 1.0, 1.04, 1.08]])
    np.testing.assert_allclose(tubelet_times_seconds(np.array([1.0]), 2, 0.04), [[0.96, 1.0]])
    np.testing.assert_allclose(tubelet_times_seconds(np.array([1.0]), 1, 0.04), [[1.0]])


def test_upstream_rule_as_published() -> None:
    """16 frames of a 10 s clip: only 11 of the 16 windows differ, because the outer ones are pushed inside."""
    starts = [upstream_start_frame(index, 16, 998, 416) for index in range(16)]
    assert len(set(starts)) == 11
    assert starts[0] == 0
    assert starts[-1] == 998 - 416
    assert starts[8] == round(8 * 998 / 16) - 208
