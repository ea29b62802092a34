"""The audio of one stream, robust to gaps and clock resets: stretches of audio in epochs of its clock."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.audio_encoder import AudioEncoder
from cavsync.deploy.stream.audio_stretch import AudioStretch
from cavsync.deploy.stream.clock import EpochClock
from cavsync.deploy.stream.limits import HOLE_SECONDS, JUMP_BACK_SECONDS, PATIENCE_SECONDS
from cavsync.media.align import SAMPLE_RATE_HZ
from cavsync.media.resample import SteadyClock


class AudioTrack:
    """Push 16 kHz mono samples, read embeddings by epoch and grid instant (see `AudioStretch`).

    A hole longer than `HOLE_SECONDS` begins a new stretch, a clock that is set back a new epoch. At most `keep_seconds`
    of audio are kept; the oldest is released first.
    """

    def __init__(self, encoder: AudioEncoder, hop_frames: int, keep_seconds: float) -> None:
        self._encoder = encoder
        self._hop_frames = hop_frames
        self._keep_samples = round(keep_seconds * SAMPLE_RATE_HZ)
        self._stretches: deque[AudioStretch] = deque()
        self._steady = SteadyClock(0.0)
        self.clock = EpochClock()
        self.finished = False

    @property
    def end_seconds(self) -> float:
        """Timestamp at the end of the audio; minus infinity before the first sample."""
        return self._stretches[-1].end_sample / SAMPLE_RATE_HZ if self._stretches else -math.inf

    def push(self, samples: NDArray[np.float32], pts_seconds: float) -> None:
        """Place samples (n,) on the clock; jitter of the timestamps does not cut the audio (see `SteadyClock`)."""
        if not self._stretches or not self._steady.follows(pts_seconds):
            self._resume(pts_seconds)
        place = round(self._steady.next_seconds * SAMPLE_RATE_HZ)
        self._steady.advance(pts_seconds, len(samples) / SAMPLE_RATE_HZ)
        self._stretches[-1].append(samples, place)
        self._limit()

    def has(self, epoch: int, stop: int) -> bool:
        """Whether each instant before `stop` of an epoch has arrived or can no longer arrive."""
        if self.finished or epoch < self.clock.epoch:
            return True
        last = self._stretches[-1] if self._stretches else None
        return last is not None and last.epoch == epoch and last.end_instant >= stop

    def covers(self, epoch: int, seconds: float, stop: int) -> bool:
        """Whether a stretch of this epoch reaches from a timestamp to the instant `stop`.

        It may begin up to `PATIENCE_SECONDS` after the timestamp: the tracks need not begin together.
        """
        latest_sample = (seconds + PATIENCE_SECONDS) * SAMPLE_RATE_HZ
        return any(
            stretch.epoch == epoch and stretch.first_sample <= latest_sample and stretch.end_instant >= stop
            for stretch in self._stretches
        )

    def embed(self, epoch: int, wanted: NDArray[np.int64]) -> None:
        """Embed the instants `wanted` (ascending) whose audio is present and that are not embedded yet."""
        for stretch in self._stretches:
            if stretch.epoch == epoch:
                stretch.embed(wanted)

    def embeddings(self, epoch: int, start: int, stop: int) -> NDArray[np.float32]:
        """Embeddings (stop - start, D) of instants [start, stop); NaN where missing."""
        found = [
            stretch.embeddings(start, stop)
            for stretch in self._stretches
            if stretch.epoch == epoch and stretch.first_instant < stop and stretch.end_instant > start
        ]
        if not found:
            return np.full((stop - start, self._encoder.embedding_dim), np.nan, dtype=np.float32)
        merged = found[0]
        for other in found[1:]:
            merged = np.where(np.isnan(merged), other, merged)
        return merged

    def log_mel(self, epoch: int, instant: int) -> NDArray[np.float32] | None:
        """Raw log-mel (segment_frames, bins) of an instant; None where audio is missing."""
        found = (stretch.log_mel(instant) for stretch in self._stretches if stretch.epoch == epoch)
        return next((segment for segment in found if segment is not None), None)

    def log_mel_inside(self, epoch: int, instant: int) -> NDArray[np.float32] | None:
        """Raw log-mel (segment_frames, bins) of an instant, moved inside the stretch that its segment reaches into;
        None where it reaches into none, or where audio is missing."""
        found = (stretch.log_mel_inside(instant) for stretch in self._stretches if stretch.epoch == epoch)
        return next((segment for segment in found if segment is not None), None)

    def level_dbfs(self, epoch: int, instant: int) -> float:
        """Level of the instant's segment in dB relative to a full-scale square wave; NaN where audio is missing."""
        levels = [stretch.level_dbfs(instant) for stretch in self._stretches if stretch.epoch == epoch]
        return next((level for level in levels if not math.isnan(level)), math.nan)

    def sound_dbfs(self, epoch: int, start_seconds: float, stop_seconds: float) -> float:
        """Level between two times, in dB relative to a full-scale square wave; NaN where audio is missing."""
        samples = round(start_seconds * SAMPLE_RATE_HZ), round(stop_seconds * SAMPLE_RATE_HZ)
        powers = [stretch.power(*samples) for stretch in self._stretches if stretch.epoch == epoch]
        power = next((power for power in powers if not math.isnan(power)), math.nan)
        return math.nan if math.isnan(power) else 10 * math.log10(power + 1e-20)

    def drop_before(self, epoch: int, instant: int) -> None:
        """Release all earlier epochs and, of this epoch, the instants before `instant`."""
        passed = (epoch, instant)
        while len(self._stretches) > 1 and (self._stretches[0].epoch, self._stretches[0].end_instant) <= passed:
            self._stretches.popleft()
        if self._stretches and self._stretches[0].epoch == epoch:
            self._stretches[0].drop_before(instant)

    def finish(self) -> None:
        """End the audio: no more samples will be pushed."""
        self.finished = True

    def _resume(self, pts_seconds: float) -> None:
        """Continue at a timestamp that does not follow from the last one."""
        self._steady = SteadyClock(pts_seconds)
        if self._stretches and pts_seconds < self.end_seconds - JUMP_BACK_SECONDS:
            self.clock.set_back(self.end_seconds, pts_seconds)
        elif self._stretches and pts_seconds <= self.end_seconds + HOLE_SECONDS:
            return
        start_sample = round(pts_seconds * SAMPLE_RATE_HZ)
        self._stretches.append(AudioStretch(self._encoder, self._hop_frames, start_sample, self.clock.epoch))

    def _limit(self) -> None:
        excess = sum(map(_cost_samples, self._stretches)) - self._keep_samples
        while excess > 0 and len(self._stretches) > 1 and excess >= _cost_samples(self._stretches[0]):
            excess -= _cost_samples(self._stretches.popleft())
        if excess > 0:
            self._stretches[0].drop_samples(excess)


def _cost_samples(stretch: AudioStretch) -> int:
    """Samples that a stretch counts for, at least one second: short stretches cost memory, too."""
    return max(stretch.num_samples, SAMPLE_RATE_HZ)
