"""The audio of a frame's epoch: the same answer whatever has arrived when it is asked for."""

from __future__ import annotations

from typing import cast

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cavsync.deploy.runtime.audio_encoder import AudioEncoder
from cavsync.deploy.stream.clock import EpochClock, EpochPairing
from cavsync.deploy.stream.grid import Grid
from cavsync.deploy.stream.lag_rows import LagRows
from cavsync.deploy.stream.limits import JUMP_BACK_SECONDS

RATE_HZ = 16_000
STEP_SECONDS = 0.25


class NoEncoder:
    """The sizes of an encoder; nothing is embedded."""

    segment_frames, num_mel_bins, embedding_dim = 16, 1, 1


Played = list[tuple[float, float, float]]
"""(seconds, how far the frames' clock jumps before them, how far the audio's clock does)."""

JUMPS = st.sampled_from([0.0, 0.0, 0.4, -1.2, -4.0, -8.0, -30.0, 9.0, 12.0, 40.0, 300.0, -300.0])
PLAYED = st.lists(st.tuples(st.sampled_from([1.0, 2.0, 4.0, 7.0]), JUMPS, JUMPS), min_size=1, max_size=6)


def timestamps(played: Played, track: int) -> list[float]:
    """Timestamps of the steps of one track."""
    found, now = [], 0.0
    for part in played:
        now += part[1 + track]
        found += [now + step * STEP_SECONDS for step in range(round(part[0] / STEP_SECONDS))]
        now += part[0]
    return found


class Tracks:
    """Both tracks of a stream; `answers` are the epochs of the audio for the frames, in order."""

    def __init__(self) -> None:
        grid = Grid(frame_rate_hz=25.0, hop_ms=20.0, max_offset_ms=400.0, window_seconds=2.0, decision_step_seconds=0.5)
        self._lags = LagRows(cast(AudioEncoder, NoEncoder()), grid, wait_seconds=100.0)
        self._video = EpochClock()
        self._pairing = EpochPairing(self._video, self._lags.audio.clock)
        self._frames: list[tuple[int, float]] = []
        self._last_seconds = -np.inf
        self.answers: list[int] = []

    def push_frame(self, seconds: float) -> None:
        """Add the next frame; one that goes back by less than a second is ignored, as in `VideoTrack`."""
        if self._last_seconds - JUMP_BACK_SECONDS < seconds <= self._last_seconds:
            return
        if seconds < self._last_seconds:
            self._video.set_back(self._last_seconds, seconds)
        self._frames.append((self._video.epoch, seconds))
        self._last_seconds = seconds
        self._answer()

    def push_audio(self, seconds: float) -> None:
        """Add the next step of the audio."""
        self._lags.audio.push(np.zeros(round(STEP_SECONDS * RATE_HZ), np.float32), seconds)
        self._answer()

    def finish(self) -> None:
        """End both tracks."""
        self._lags.audio.finish()
        self._answer()

    def _answer(self) -> None:
        while len(self.answers) < len(self._frames):
            epoch, seconds = self._frames[len(self.answers)]
            found = self._lags.epoch_for(self._pairing, epoch, seconds, is_late=False)
            if found is None:
                return
            self._lags.drop_before(found, seconds)
            self.answers.append(found)


def answers(played: Played, *, frames_first: bool) -> list[int]:
    """The epochs of the audio for all frames, with one track pushed before the other."""
    tracks = Tracks()
    for is_frame in (frames_first, not frames_first):
        for seconds in timestamps(played, 0 if is_frame else 1):
            (tracks.push_frame if is_frame else tracks.push_audio)(seconds)
    tracks.finish()
    return tracks.answers


@example(played=[(1.0, 0.0, 5.0), (2.0, -300.0, -5.0), (2.0, 300.0, 0.0)])
@settings(deadline=None)
@given(played=PLAYED)
def test_the_answer_does_not_depend_on_which_track_comes_first(played: Played) -> None:
    assert answers(played, frames_first=True) == answers(played, frames_first=False)


def test_what_recovers_does_so_without_the_end_of_the_stream() -> None:
    """Frames set back alone and then mended get their audio as it arrives, not when it can no longer come."""
    played: Played = [(7.0, 0.0, 0.0), (7.0, -5000.0, 0.0), (7.0, 20_000.0, 15_000.0)]
    tracks = Tracks()
    for video, audio in zip(timestamps(played, 0), timestamps(played, 1), strict=True):
        tracks.push_audio(audio)
        tracks.push_frame(video)
    # But for the search range and a segment.
    assert len(tracks.answers) >= 21 / STEP_SECONDS - 4
