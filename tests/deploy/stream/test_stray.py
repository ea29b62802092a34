"""Single timestamps out of line against jumps of the clock."""

from __future__ import annotations

import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavsync.deploy.stream.stray import StrayFilter


def passed(times: list[float], length: float = 0.0, longest_seconds: float = 0.0) -> tuple[list[float], int]:
    """Timestamps that come through, and how many were dropped."""
    stray: StrayFilter[int] = StrayFilter(longest_seconds)
    found = [item for place, time in enumerate(times) for item in stray.push(time, length, place)]
    found += stray.flush()
    assert [times[place] for _, place in found] == [time for time, _ in found]
    return [time for time, _ in found], stray.num_dropped


@pytest.mark.parametrize("wrong", [1e9, -50.0, 20.0])
def test_one_piece_out_of_line_is_dropped(wrong: float) -> None:
    assert passed([0.0, 0.04, wrong, 0.08, 0.12]) == ([0.0, 0.04, 0.08, 0.12], 1)


def test_a_packet_of_audio_is_dropped_whole_or_in_parts() -> None:
    assert passed([0.0, 0.2, 50.0, 0.4], 0.2, 0.25) == ([0.0, 0.2, 0.4], 1)
    assert passed([0.0, 0.1, 0.2, 0.3, 50.0, 50.1, 0.4], 0.1, 0.25) == ([0.0, 0.1, 0.2, 0.3, 0.4], 2)
    assert passed([0.0, 0.1, 50.0, 50.1, 50.2, 0.2], 0.1, 0.25)[1] == 0


@pytest.mark.parametrize("start", [1e6, -50.0, 20.0, -1.05])
def test_a_jump_of_the_clock_is_none(start: float) -> None:
    times = [0.0, 0.04, start, start + 0.04, start + 0.08]
    assert passed(times) == (times, 0)


def test_two_jumps_in_a_row_and_one_at_the_end_are_taken_at_their_word() -> None:
    times = [0.0, 100.0, -100.0, -99.9, 500.0]
    assert passed(times) == (times, 0)


class Frame:
    """Something that a weak reference can follow."""


def test_a_clock_that_stands_still_holds_one_frame() -> None:
    """Frames at one time out of line could come for hours; the first of them is enough to tell what the clock did."""
    stray: StrayFilter[Frame] = StrayFilter(0.0)
    assert len(stray.push(0.0, 0.0, Frame())) == 1
    alive = []
    for _ in range(50):
        frame = Frame()
        alive.append(weakref.ref(frame))
        assert stray.push(100.0, 0.0, frame) == []
    del frame
    assert sum(reference() is not None for reference in alive) == 1
    assert stray.num_dropped == 49
    assert [time for time, _ in stray.push(100.04, 0.0, Frame())] == [100.0, 100.04]


@given(
    jump=st.sampled_from([-300.0, -1.2, -1.001, -0.9, 0.5, 9.0, 10.5, 300.0]),
    pieces=st.lists(st.floats(0.01, 0.6), min_size=3, max_size=8),
)
def test_how_audio_was_cut_decides_nothing(jump: float, pieces: list[float]) -> None:
    """Ten seconds, then a clock that jumps: everything passes, in whatever pieces it comes afterwards."""
    stray: StrayFilter[None] = StrayFilter(0.2)
    assert stray.push(0.0, 10.0, None) == [(0.0, None)]
    now = 10.0 + jump
    count = 0
    for length in pieces:
        count += len(stray.push(now, length, None))
        now += length
    assert count + len(stray.flush()) == len(pieces)
    assert stray.num_dropped == 0
