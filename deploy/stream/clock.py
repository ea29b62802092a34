"""Clocks that are set back: epochs of one track, and the pairing of the audio's epochs with the frames'.

Timestamps of a live stream wrap (MPEG-TS every 26.5 h), restart with their sender, or jump. An absolute clock handles
any forward jump. After a backward one the same timestamp would denote two moments, so each time a track's clock is set
back, a new *epoch* of that track begins. Nothing here depends on arrival times, only on each track's own timestamps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from cavsync.deploy.stream.limits import PATIENCE_SECONDS


class EpochEnd(NamedTuple):
    """Time of the end of an epoch on its own clock, and of the start of the next one on the next one's clock."""

    last_seconds: float
    next_seconds: float

    @property
    def back_seconds(self) -> float:
        """How far the clock was set back."""
        return self.last_seconds - self.next_seconds


class EpochClock:
    """The epochs of one track, counted from 0; `epoch` is the current one.

    `progress` is stream time that never goes back: when the clock is set back, it continues.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._base_seconds = 0.0
        self._ends: dict[int, EpochEnd] = {}

    def set_back(self, last_seconds: float, next_seconds: float) -> None:
        """Begin a new epoch at `next_seconds`; the old one reached `last_seconds` of its own clock."""
        end = self._ends[self.epoch] = EpochEnd(last_seconds, next_seconds)
        self._base_seconds += end.back_seconds
        self.epoch += 1

    def progress(self, seconds: float) -> float:
        """Progress at a timestamp of the current epoch."""
        return seconds + self._base_seconds

    def end_of(self, epoch: int) -> EpochEnd | None:
        """Where an epoch ended; None for the current one."""
        return self._ends.get(epoch)

    def forget_before(self, epoch: int) -> None:
        """Release earlier epochs; `end_of` will not be called for them again."""
        self._ends = {number: end for number, end in self._ends.items() if number >= epoch}


class EpochPairing:
    """Finds the epoch of the audio that belongs to a frame; frames must be queried in order.

    Two clocks set back within `PATIENCE_SECONDS` of each other begin a new pair of epochs. If only one is set back, the
    other track stays in its epoch, whose timestamps then show that these frames have no audio; how far the two tracks
    have come is then compared as if neither clock had been set back, until their timestamps agree again.
    """

    def __init__(self, video: EpochClock, audio: EpochClock) -> None:
        self._video = video
        self._audio = audio
        self._video_epoch = 0
        self._audio_epoch = 0
        # How far the audio's clock is ahead of the frames' clock, in the current pair, where both have come as far.
        self._ahead_seconds = 0.0

    def epoch_of(
        self, epoch: int, seconds: float, *, audio_seconds: float, covers: Callable[[int], bool]
    ) -> int | None:
        """Epoch of the audio for a frame at `seconds` of `epoch`; None while more audio could give another answer.

        `audio_seconds` is the timestamp at the end of the audio, infinite if no more is waited for. `covers` tells
        whether an epoch of the audio has arrived around the frame's timestamp.
        """
        while epoch != self._video_epoch:
            if not self._pass_end(audio_seconds):
                return None
        while not covers(self._audio_epoch):
            end = self._audio.end_of(self._audio_epoch)
            earliest_seconds = seconds + self._ahead_seconds - PATIENCE_SECONDS
            if end is None:
                # Audio that ended now would be followed by another epoch, which might be this frame's.
                return self._audio_epoch if audio_seconds >= earliest_seconds else None
            if end.last_seconds >= earliest_seconds:
                return self._audio_epoch
            self._advance(audio=end)
        self._ahead_seconds = 0.0
        return self._audio_epoch

    def _pass_end(self, audio_seconds: float) -> bool:
        """Leave the current epoch of the video, of the audio, or both; return False if it cannot be known which."""
        video, audio = self._video.end_of(self._video_epoch), self._audio.end_of(self._audio_epoch)
        assert video is not None
        video_seconds = video.last_seconds + self._ahead_seconds
        if audio is None and audio_seconds <= video_seconds + PATIENCE_SECONDS:
            return False
        # If the two ends are far apart, pass only the earlier one.
        ahead_seconds = math.inf if audio is None else audio.last_seconds - video_seconds
        self._advance(
            video=video if ahead_seconds >= -PATIENCE_SECONDS else None,
            audio=audio if ahead_seconds <= PATIENCE_SECONDS else None,
        )
        return True

    def _advance(self, *, video: EpochEnd | None = None, audio: EpochEnd | None = None) -> None:
        """Enter the epochs that follow these ends."""
        if video is not None:
            self._video_epoch += 1
            self._ahead_seconds += video.back_seconds
            self._video.forget_before(self._video_epoch)
        if audio is not None:
            self._audio_epoch += 1
            self._ahead_seconds -= audio.back_seconds
            self._audio.forget_before(self._audio_epoch)
        # Clocks that nearly agree are one clock: small differences of the ends must not add up.
        if abs(self._ahead_seconds) <= PATIENCE_SECONDS:
            self._ahead_seconds = 0.0
