"""Epochs of two clocks paired, against pairs that are known by construction."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cavsync.deploy.stream.clock import EpochClock, EpochPairing


def nothing(_: int) -> bool:
    """As where the audio around a frame never arrives: the ends of the epochs alone tell which is the frame's."""
    return False


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
        found = pairing.epoch_of(epochs["video"], middle, audio_seconds=starts["audio"] + length, covers=nothing)
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
    assert pairing.epoch_of(1, 0.0, audio_seconds=99.0, covers=nothing) is None
    audio.set_back(100.3, 0.2)
    assert pairing.epoch_of(1, 0.0, audio_seconds=0.2, covers=nothing) == 1
    # Audio that is set back at 10 s would be followed by the audio of a frame at 20 s.
    assert pairing.epoch_of(1, 20.0, audio_seconds=10.0, covers=nothing) is None
    assert pairing.epoch_of(1, 20.0, audio_seconds=16.0, covers=nothing) == 1
    video.set_back(50.0, 0.0)
    assert pairing.epoch_of(2, 0.0, audio_seconds=54.0, covers=nothing) is None
    # The audio goes on: the frame's clock was set back alone.
    assert pairing.epoch_of(2, 0.0, audio_seconds=math.inf, covers=nothing) == 1


def test_small_differences_of_the_ends_do_not_add_up() -> None:
    """A clip of which the audio is 0.4 s shorter than the video, played forty times."""
    video, audio = EpochClock(), EpochClock()
    pairing = EpochPairing(video, audio)
    for epoch in range(40):
        assert pairing.epoch_of(epoch, 5.0, audio_seconds=9.6, covers=nothing) == epoch
        video.set_back(10.0, 0.0)
        audio.set_back(9.6, 0.0)


def test_frames_that_return_from_far_ahead_keep_their_audio() -> None:
    """A frame's clock jumps ahead by 300 s and back; the audio's does not, and is set back with it 20 s later."""
    video, audio = EpochClock(), EpochClock()
    pairing = EpochPairing(video, audio)
    video.set_back(302.0, 4.0)
    assert pairing.epoch_of(1, 4.0, audio_seconds=6.0, covers=lambda epoch: epoch == 0) is None
    assert pairing.epoch_of(1, 5.0, audio_seconds=math.inf, covers=lambda epoch: epoch == 0) == 0
    video.set_back(20.0, 0.0)
    audio.set_back(20.0, 0.0)
    assert pairing.epoch_of(2, 1.0, audio_seconds=3.0, covers=lambda epoch: epoch == 1) == 1


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
