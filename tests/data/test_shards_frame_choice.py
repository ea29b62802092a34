"""Which frames are kept, and which shard a clip goes to: against definitions written out in loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavsync.data.shards.frame_choice import choose_frames
from cavsync.data.shards.pack import shard_ranges, shuffled
from cavsync.errors import ConfigError

gaps = st.lists(st.floats(0.001, 0.5), min_size=1, max_size=60)
starts = st.floats(-1.0, 100.0)


@given(gaps=gaps, start=starts, count=st.integers(1, 80))
def test_a_count_of_frames(gaps: list[float], start: float, count: int) -> None:
    """Exactly that many where there are as many, distinct and ascending, whatever the frame rate does."""
    times = start + np.cumsum(gaps)
    chosen = choose_frames(times, count=count)
    assert len(chosen) == min(count, len(times))
    assert (np.diff(chosen) > 0).all()
    assert chosen[0] >= 0
    assert chosen[-1] < len(times)


@given(length=st.integers(1, 300), count=st.integers(1, 40), rate=st.sampled_from([24.0, 25.0, 30000 / 1001, 60.0]))
def test_a_count_is_spread_evenly(length: int, count: int, rate: float) -> None:
    """At a constant rate each frame lies within half a frame of the middle of its part of the video."""
    times = np.arange(length) / rate
    chosen = choose_frames(times, count=count)
    if count > length:
        assert len(chosen) == length
        return
    for part, index in enumerate(chosen):
        middle = (part + 0.5) / count * length / rate
        assert abs(times[index] + 0.5 / rate - middle) <= 0.5 / rate + 1e-9


@given(gaps=gaps, start=starts, rate=st.floats(0.5, 70.0))
def test_a_rate(gaps: list[float], start: float, rate: float) -> None:
    """The nearest frame to each instant of the grid, each once."""
    times = start + np.cumsum(gaps)
    expected, step = set(), 0
    while step / rate <= times[-1] - times[0] + 1e-7:
        distances = np.abs(times - (times[0] + step / rate))
        expected.add(int(np.argmin(distances)))
        step += 1
    chosen = choose_frames(times, rate_hz=rate)
    assert (np.diff(chosen) > 0).all()
    # Instants halfway between two frames may go to either.
    assert abs(len(chosen) - len(expected)) <= 1
    assert all(min(abs(index - other) for other in expected) <= 1 for index in chosen)


def test_all_frames_and_known_rates() -> None:
    times = np.arange(50) / 25
    np.testing.assert_array_equal(choose_frames(times), np.arange(50))
    np.testing.assert_array_equal(choose_frames(times, rate_hz=25), np.arange(50))
    np.testing.assert_array_equal(choose_frames(times, rate_hz=100), np.arange(50))
    np.testing.assert_array_equal(choose_frames(times, rate_hz=5), np.arange(0, 50, 5))
    np.testing.assert_array_equal(choose_frames(times[:45], count=5), [4, 13, 22, 31, 40])
    assert len(choose_frames(np.empty(0), count=5)) == 0


def test_all_frames_in_the_first_moment() -> None:
    """Frames that crowd together still give the number that was asked for."""
    times = np.concatenate([np.arange(20) / 1000, [10.0]])
    np.testing.assert_array_equal(choose_frames(times, count=3), [18, 19, 20])


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": 2, "rate_hz": 5.0}, {"rate_hz": -1.0}, {"rate_hz": np.inf}])
def test_wrong_choices(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        choose_frames(np.arange(3.0), **wrong)  # type: ignore[arg-type]


@given(clips=st.integers(0, 500), per_shard=st.integers(1, 60))
def test_every_clip_has_one_shard(clips: int, per_shard: int) -> None:
    """Place p is in shard p // per_shard, so shards do not depend on one another."""
    ranges = shard_ranges(clips, per_shard)
    assert [place for chosen in ranges for place in chosen] == list(range(clips))
    assert all(place // per_shard == number for number, chosen in enumerate(ranges) for place in chosen)


@given(clips=st.integers(0, 300), seed=st.integers(0, 2**32))
def test_the_order_is_a_shuffle_of_the_seed(clips: int, seed: int) -> None:
    assert sorted(shuffled(clips, seed)) == list(range(clips))
    assert shuffled(clips, seed) == shuffled(clips, seed)
