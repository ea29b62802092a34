"""One stream time: it never goes back, wraps and restarts are joined, and video and audio keep their relation."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavsync.deploy.live.clock import AHEAD_SECONDS, BACK_SECONDS, SEAM_SECONDS, WRAP_SECONDS, SenderClock

FRAME, BLOCK = Fraction(1, 25), Fraction(1024, 48_000)
Packets = list[tuple[str, Fraction]]
Placed = list[tuple[str, Fraction, int] | None]


def sender(start: Fraction, seconds: float, audio_late: Fraction = Fraction(0)) -> Packets:
    """Packets of both tracks in the order of their decoding times, as one sender numbers them."""
    video = [("video", start + k * FRAME) for k in range(round(seconds / FRAME))]
    audio = [("audio", start + audio_late + k * BLOCK) for k in range(round(seconds / BLOCK))]
    return sorted(video + audio, key=lambda packet: packet[1])


def stream_times(clock: SenderClock, packets: Packets, *, wraps: bool = False) -> Placed:
    placed: Placed = []
    for kind, seconds in packets:
        correction = clock.correction(kind, seconds, wraps=wraps)
        placed.append(None if correction is None else (kind, seconds + correction, clock.stretch))
    return placed


@settings(deadline=None, max_examples=30)
@given(st.fractions(0, 95_443, max_denominator=90_000), st.fractions(Fraction(-1), Fraction(1), max_denominator=1000))
def test_one_sender_is_only_shifted(start: Fraction, audio_late: Fraction) -> None:
    packets = sender(start, 3.0, audio_late)
    placed = stream_times(SenderClock(), packets)
    assert placed[0] is not None
    assert placed[0][1] == 0
    shifts = {item[1] - seconds for item, (_, seconds) in zip(placed, packets, strict=True) if item is not None}
    assert shifts == {-packets[0][1]}
    assert None not in placed


@settings(deadline=None, max_examples=30)
@given(st.fractions(Fraction(-2), Fraction(5), max_denominator=90_000), st.integers(0, 2))
def test_a_wrap_of_33_bits_is_not_noticed(before: Fraction, num_wraps: int) -> None:
    """Each track wraps at its own packet; up to two wraps before and one inside."""
    start = (num_wraps + 1) * WRAP_SECONDS - before
    straight = sender(start, 4.0)
    wrapped = [(kind, seconds % WRAP_SECONDS) for kind, seconds in straight]
    clock = SenderClock()
    placed = stream_times(clock, wrapped, wraps=True)
    assert clock.stretch == 0
    assert [item and item[1] for item in placed] == [seconds - straight[0][1] for _, seconds in straight]


@settings(deadline=None, max_examples=50)
@given(
    starts=st.lists(st.fractions(0, 90_000, max_denominator=1000), min_size=2, max_size=4),
    leftovers=st.integers(0, 4),
)
def test_a_sender_that_starts_again_keeps_the_relation(starts: list[Fraction], leftovers: int) -> None:
    """Each run goes 5 s and leaves some packets of the other track behind, which arrive after the jump."""
    runs = [sender(start, 5.0) for start in starts]
    packets = list(runs[0])
    for previous, run in itertools.pairwise(runs):
        other = "audio" if run[0][0] == "video" else "video"
        step = BLOCK if other == "audio" else FRAME
        last = max(seconds for kind, seconds in previous if kind == other)
        packets += [run[0], *((other, last + (k + 1) * step) for k in range(leftovers)), *run[1:]]
    clock = SenderClock()
    placed = stream_times(clock, packets)
    shifts: dict[int, set[Fraction]] = {}
    for (_, seconds), item in zip(packets, placed, strict=True):
        if item is not None:
            shifts.setdefault(item[2], set()).add(item[1] - seconds)
    assert all(len(found) == 1 for found in shifts.values()), "one correction for both tracks"
    for kind in ("video", "audio"):
        times = [item[1] for item in placed if item is not None and item[0] == kind]
        assert all(later - sooner >= -BACK_SECONDS for sooner, later in itertools.pairwise(times)), "time only goes on"
    # Every restart costs the leftovers, and at most a second of the other track if its clock went on by chance.
    assert placed.count(None) <= (len(starts) - 1) * (leftovers + 48)


def test_the_rule_by_example() -> None:
    clock = SenderClock()
    first = [item for item in stream_times(clock, sender(Fraction(1000), 2.0)) if item is not None]
    again = stream_times(clock, [*sender(Fraction(1), 2.0)])
    assert clock.stretch == 1
    assert again[0] is not None
    assert again[0][1] - first[-1][1] == SEAM_SECONDS
    shifts = {item[1] - seconds for item, (_, seconds) in zip(again, sender(Fraction(1), 2.0), strict=True) if item}
    assert len(shifts) == 1
    assert None not in again


def test_gaps_are_gaps_and_more_is_another_clock() -> None:
    for gap, stretches in ((AHEAD_SECONDS - 1, 0), (AHEAD_SECONDS + 1, 1)):
        clock = SenderClock()
        stream_times(clock, sender(Fraction(0), 2.0))
        late = sender(Fraction(2) + Fraction(gap), 2.0)
        placed = stream_times(clock, late)
        assert clock.stretch == stretches
        assert placed[0] is not None
        expected = late[0][1] if stretches == 0 else placed[0][1]
        assert placed[0][1] == expected
        assert len({item[1] - seconds for item, (_, seconds) in zip(placed, late, strict=True) if item}) == 1


def test_one_track_that_jumps_alone_changes_the_relation_as_it_says() -> None:
    """The audio's times go back by two seconds and stay there: from then on it is two seconds later, as declared."""
    clock = SenderClock()
    stream_times(clock, sender(Fraction(100), 3.0))
    moved = [(kind, seconds - 2 * (kind == "audio")) for kind, seconds in sender(Fraction(103), 6.0)]
    placed = stream_times(clock, moved)
    assert clock.stretch == 1
    lost = [seconds for (kind, seconds), item in zip(moved, placed, strict=True) if item is None]
    assert len(lost) <= 27, "about a second of the other track"
    ends = {
        kind: max(item[1] for item in placed if item is not None and item[0] == kind) for kind in ("video", "audio")
    }
    assert float(ends["video"] - ends["audio"]) == float(Fraction(2)) or abs(ends["video"] - ends["audio"] - 2) < FRAME


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 1e6), st.fractions(0, 90_000, max_denominator=1000))
def test_a_new_connection_comes_later_by_as_much_as_there_was_none(elapsed: float, start: Fraction) -> None:
    clock = SenderClock()
    clock.restart(elapsed)
    assert (clock.stretch, clock.edge_seconds) == (0, -math.inf)
    stream_times(clock, sender(Fraction(7), 2.0))
    edge_seconds = clock.edge_seconds
    clock.restart(elapsed)
    placed = stream_times(clock, sender(start, 1.0))
    assert clock.stretch == 1
    assert placed[0] is not None
    assert float(placed[0][1]) == pytest.approx(edge_seconds + max(SEAM_SECONDS, elapsed), abs=1e-3)


def test_the_first_connection_counts_from_the_declared_start() -> None:
    clock = SenderClock()
    assert clock.correction("audio", Fraction(12), Fraction(10)) == -10
    assert clock.edge_seconds == 2.0
