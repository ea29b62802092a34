"""Epochs of two clocks paired, against pairs that are known by construction."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cavsync.deploy.stream.clock import EpochClock, EpochPairing

# What happens at the end of a part: both clocks are set back, or one of them.
CHANGES = st.lists(st.sampled_from(["both", "video", "audio"]), max_size=8)


@given(changes=CHANGES, skew=st.floats(-2.0, 2.0))
def test_pairs_are_those_that_were_made(changes: list[str], skew: float) -> None:
    video, audio = EpochClock(), EpochClock()
    pairing = EpochPairing(video, audio)
    length = 60.0
    starts = {"video": 0.0, "audio": 0.0}
    epochs = {"video": 0, "audio": 0}
    for change in [*changes, "end"]:
        # Asked in the middle of a part, when everything before is known.
        middle = starts["video"] + length / 2
        found = pairing.epoch_of(
            epochs["video"], video.progress(middle), audio_progress=audio.progress(starts["audio"] + length)
        )
        assert found == epochs["audio"]
        for name, clock, end in (
            ("video", video, starts["video"] + length),
            ("audio", audio, starts["audio"] + length + skew),
        ):
            if change in (name, "both"):
                clock.set_back(end, end - 1000.0)
                starts[name], epochs[name] = end - 1000.0, epochs[name] + 1
            else:
                starts[name] += length
            if change in (name, "both") and name == "audio":
                starts["audio"] -= skew


def test_it_waits_until_the_other_clock_is_known() -> None:
    video, audio = EpochClock(), EpochClock()
    pairing = EpochPairing(video, audio)
    video.set_back(100.0, 0.0)
    assert pairing.epoch_of(1, video.progress(0.0), audio_progress=audio.progress(99.0)) is None
    audio.set_back(100.3, 0.2)
    assert pairing.epoch_of(1, video.progress(0.0), audio_progress=audio.progress(0.2)) == 1
    video.set_back(50.0, 0.0)
    assert pairing.epoch_of(2, video.progress(0.0), audio_progress=audio.progress(54.0)) is None
    # The audio goes on: the frame's clock was set back alone.
    assert pairing.epoch_of(2, video.progress(0.0), audio_progress=math.inf) == 1


STRETCHES = st.lists(st.tuples(st.floats(0.0, 1e5), st.floats(1.0, 1e6)), max_size=30)


@given(STRETCHES)
def test_progress_counts_what_was_played_and_never_goes_back(stretches: list[tuple[float, float]]) -> None:
    """Each stretch plays for so long, then the clock is set back by so much."""
    clock = EpochClock()
    now = played = 0.0
    seen = [clock.progress(now)]
    for length, back in stretches:
        now, played = now + length, played + length
        seen.append(clock.progress(now))
        clock.set_back(now, now - back)
        now -= back
        seen.append(clock.progress(now))
    assert all(later >= earlier - 1e-6 for earlier, later in pairwise(seen))
    assert math.isclose(seen[-1], played, abs_tol=1e-3)
    assert clock.epoch == len(stretches)
