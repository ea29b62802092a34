"""The mix of stereo and of tracks, and the programmes of a container."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from coded_clips import write_coded_clip

from cavsync.errors import ConfigError
from cavsync.media.resample import AudioChunk, StereoMix
from cavsync.media.silence import first_sounding
from cavsync.media.track_mix import TrackMix
from cavsync.media.tracks import TrackChoice

RATE_HZ = 16_000
RANDOM = np.random.default_rng(0)


def stereo(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.stack([left, right], axis=1).astype(np.float32)


def test_stereo_is_averaged_unless_it_cancels() -> None:
    left, right = RANDOM.normal(size=(2, 1600)) / 10
    assert StereoMix(RATE_HZ).mix(stereo(left, right)) == pytest.approx((left + right) / 2, abs=1e-6)
    assert StereoMix(RATE_HZ).mix(stereo(left, -left)) == pytest.approx(left, abs=1e-6)
    one_sided = StereoMix(RATE_HZ)
    assert one_sided.mix(stereo(left, 0 * left)) == pytest.approx(left / 2, abs=1e-6)
    assert one_sided.cancelled_seconds == 0


def test_the_choice_of_mix_does_not_flicker() -> None:
    """A tenth of a second in opposite phase changes nothing; a second and a half does, and so does the way back."""
    mix, left = StereoMix(RATE_HZ), RANDOM.normal(size=1600) / 10
    for _ in range(20):
        mix.mix(stereo(left, left))
    mix.mix(stereo(left, -left))
    assert mix.cancelled_seconds == 0
    for _ in range(60):
        opposite = mix.mix(stereo(left, -left))
    assert opposite == pytest.approx(left, abs=1e-6)
    for _ in range(20):
        agreeing = mix.mix(stereo(left, left))
    assert agreeing == pytest.approx(left, abs=1e-6)


def test_tracks_are_mixed_on_one_clock() -> None:
    """Pieces of any size, one track later than the other, and a jump of both."""
    first, second = RANDOM.normal(size=(2, 4000)).astype(np.float32)
    mix, parts = TrackMix(2, RATE_HZ), []
    for start in range(0, 4000, 700):
        parts += mix.push(0, AudioChunk(start / RATE_HZ, first[start : start + 700]))
        parts += mix.push(1, AudioChunk((start + 1000) / RATE_HZ, second[start : start + 700]))
    parts += mix.push(0, AudioChunk(100.0, first))
    parts += mix.flush()
    wanted = np.zeros(5000, dtype=np.float32)
    wanted[:4000] += first / 2
    wanted[1000:] += second / 2
    before = [part for part in parts if part.pts_seconds < 50]
    assert before[0].pts_seconds == 0
    assert np.concatenate([part.samples for part in before]) == pytest.approx(wanted, abs=1e-6)
    assert (parts[-1].pts_seconds, len(parts[-1].samples)) == (100.0, 4000)
    for one, other in pairwise(before):
        assert other.pts_seconds == pytest.approx(one.pts_seconds + len(one.samples) / RATE_HZ)


def test_two_tracks_that_cancel_leave_their_difference() -> None:
    """As left and right of a sound in opposite phase do, stored as two tracks of one channel."""
    left = RANDOM.normal(size=4 * RATE_HZ).astype(np.float32)
    mix, parts = TrackMix(2, RATE_HZ), []
    for start in range(0, len(left), 1000):
        for place, sign in enumerate((1, -1)):
            parts += mix.push(place, AudioChunk(start / RATE_HZ, sign * left[start : start + 1000]))
    parts += mix.flush()
    assert np.concatenate([part.samples for part in parts]) == pytest.approx(left, abs=1e-6)
    assert mix.cancelled_seconds == pytest.approx(4.0)


def test_a_track_that_is_far_behind_is_not_waited_for() -> None:
    mix = TrackMix(2, RATE_HZ)
    second = np.ones(RATE_HZ, dtype=np.float32)
    sent = [part for start in range(30) for part in mix.push(0, AudioChunk(float(start), second))]
    assert sum(len(part.samples) for part in sent) == 20 * RATE_HZ


def test_the_first_track_that_can_be_heard(tmp_path: Path) -> None:
    with av.open(str(write_coded_clip(tmp_path / "clip.mp4", num_audio=2))) as container:
        assert first_sounding(container, container.streams.audio) is container.streams.audio[0]


@pytest.mark.parametrize("text", ["", "-1", "1+", "1,2", "one", "2 + 3"])
def test_a_name_that_is_no_list_of_numbers_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="give a number from 0 on"):
        TrackChoice.parsed(text, None, None)


def test_names_of_tracks() -> None:
    assert TrackChoice.parsed("2+3", None, 4) == TrackChoice((2, 3), None, 4)
    assert TrackChoice.parsed(0, 1, None) == TrackChoice((0,), 1, None)
    assert str(TrackChoice((2, 3), None, 4)) == "audio 2+3, program 4"
