"""Clocks that are set back: epochs of one track, and the pairing of the audio's epochs with the frames'.

Timestamps of a live stream wrap (MPEG-TS every 26.5 h), restart with their sender, or jump. An absolute clock handles
any forward jump. After a backward one the same timestamp would denote two moments, so each time a track's clock is set
back, a new *epoch* of that track begins. Nothing here depends on arrival times, only on each track's own timestamps.
"""

from __future__ import annotations

import math

from cavsync.deploy.stream.limits import PATIENCE_SECONDS


class EpochClock:
    """The epochs of one track, counted from 0; `epoch` is the current one.

    `progress` is stream time that never goes back: when the clock is set back, it continues.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._base_seconds = 0.0
        self._ends: dict[int, float] = {}

    def set_back(self, last_seconds: float, next_seconds: float) -> None:
        """Begin a new epoch at `next_seconds`; the old one reached `last_seconds` of its own clock."""
        self._ends[self.epoch] = self.progress(last_seconds)
        self._base_seconds += last_seconds - next_seconds
        self.epoch += 1

    def progress(self, seconds: float) -> float:
        """Progress at a timestamp of the current epoch."""
        return seconds + self._base_seconds

    def end_of(self, epoch: int) -> float | None:
        """Progress at which an epoch ended; None for the current one."""
        return self._ends.get(epoch)

    def forget_before(self, epoch: int) -> None:
        """Release earlier epochs; `end_of` will not be called for them again."""
        self._ends = {number: end for number, end in self._ends.items() if number >= epoch}


class EpochPairing:
    """Finds the epoch of the audio that belongs to a frame; frames must be queried in order.

    Two clocks set back within `PATIENCE_SECONDS` of each other begin a new pair of epochs. If only one is set back, the
    other track stays in its epoch, whose timestamps then show that these frames have no audio.
    """

    def __init__(self, video: EpochClock, audio: EpochClock) -> None:
        self._video = video
        self._audio = audio
        self._video_epoch = 0
        self._audio_epoch = 0

    def epoch_of(self, epoch: int, progress: float, *, audio_progress: float) -> int | None:
        """Epoch of the audio for a frame of `epoch` at `progress`; None while it cannot be known.

        `audio_progress` is the progress at the end of the audio, infinite if no more will arrive.
        """
        while True:
            audio_end = self._audio.end_of(self._audio_epoch)
            if epoch == self._video_epoch:
                if audio_end is None or progress <= audio_end + PATIENCE_SECONDS:
                    return self._audio_epoch
                self._audio_epoch += 1
                continue
            video_end = self._video.end_of(self._video_epoch)
            assert video_end is not None
            if audio_end is None and audio_progress <= video_end + PATIENCE_SECONDS:
                return None
            audio_end = math.inf if audio_end is None else audio_end
            # If the two ends are far apart, pass only the earlier one.
            if audio_end <= video_end + PATIENCE_SECONDS:
                self._audio_epoch += 1
            if video_end <= audio_end + PATIENCE_SECONDS:
                self._video_epoch += 1
            self._video.forget_before(self._video_epoch)
            self._audio.forget_before(self._audio_epoch)
