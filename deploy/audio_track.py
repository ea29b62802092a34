"""The sound of one stream: placed on an absolute 16 kHz clock, turned into one embedding per grid instant.

Instant j is the segment that starts at log-mel frame j * hop_frames; sample 0 is time 0 of the stream, and j may be
negative. Log-mel is computed once per frame. Instants are embedded in groups at fixed places of the grid, so the
result does not depend on how the stream was cut into chunks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.bundle import Bundle
from cavsync.deploy.limits import GROUP_INSTANTS, MAX_JUMP_SECONDS
from cavsync.deploy.timeline import Timeline
from cavsync.errors import BundleError, MediaError
from cavsync.media.align import FRAME_LENGTH_SAMPLES, FRAME_SHIFT_SAMPLES, SAMPLE_RATE_HZ, num_log_mel_frames
from cavsync.media.resample import SteadyClock

# One lost packet of any common codec (at most 32 ms) must not cost a whole segment; more is no longer the same sound.
TOLERATED_GAP_SECONDS = 0.05
TOLERATED_GAP_SHARE = 0.1


class AudioTrack:
    """Push 16 kHz mono samples, read embeddings by grid instant. Missing instants are NaN.

    Kept: the samples of one segment and one group, and the embeddings that `drop_before` has not released.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._segment_frames = bundle.manifest.audio.segment_frames
        self._hop_frames = bundle.hop_frames
        self._hop_samples = self._hop_frames * FRAME_SHIFT_SAMPLES
        self._span_samples = (self._segment_frames - 1) * FRAME_SHIFT_SAMPLES + FRAME_LENGTH_SAMPLES
        self._samples = Timeline((), np.float32, 0.0)
        self._present = Timeline((), np.bool_, 0.0)
        self._log_mel = Timeline((bundle.manifest.frontend.num_mel_bins,), np.float32, 0.0)
        self._embeddings = Timeline((bundle.embedding_dim,), np.float32, np.nan)
        self._levels = Timeline((), np.float32, np.nan)
        self._clock = SteadyClock(0.0)
        self._started = False
        self.finished = False

    @property
    def end_instant(self) -> int:
        """First instant that is not embedded yet."""
        return self._embeddings.end if self._started else -(2**62)

    def embeddings(self, start: int, stop: int) -> NDArray[np.float32]:
        """Embeddings (stop - start, D) of instants [start, stop); NaN where there is no sound."""
        return self._embeddings.read(start, stop)

    def level_dbfs(self, instant: int) -> float:
        """Level of the instant's segment in dB relative to a full-scale square wave; NaN where there is no sound."""
        return float(self._levels.read(instant, instant + 1)[0])

    def drop_before(self, instant: int) -> None:
        """Release the embeddings of the instants before `instant`."""
        self._embeddings.drop_before(instant)
        self._levels.drop_before(instant)

    def push(self, samples: NDArray[np.float32], pts_seconds: float) -> None:
        """Place samples (n,) on the clock: gaps are missing sound, of an overlap what came first stays.

        Timestamps that merely jitter do not cut the sound (`SteadyClock`).

        Raises:
            MediaError: the timestamp jumps ahead by more than `MAX_JUMP_SECONDS`.
        """
        if not self._started:
            self._start(pts_seconds)
        clock = self._clock if self._clock.follows(pts_seconds) else SteadyClock(pts_seconds)
        ahead = round(clock.next_seconds * SAMPLE_RATE_HZ) - self._samples.end
        if ahead > MAX_JUMP_SECONDS * SAMPLE_RATE_HZ:
            raise MediaError(
                f"the sound's timestamp jumps from {self._samples.end / SAMPLE_RATE_HZ:.1f} s to {pts_seconds:.1f} s, "
                f"at most {MAX_JUMP_SECONDS:.0f} s can be bridged: reset the scorer or mend the timestamps"
            )
        clock.advance(pts_seconds, len(samples) / SAMPLE_RATE_HZ)
        self._clock = clock
        self._samples.append_fill(max(0, ahead))
        self._present.append_fill(max(0, ahead))
        new = samples[max(0, -ahead) :]
        self._samples.append(new)
        self._present.append(np.ones(len(new), dtype=np.bool_))
        self._embed_groups()

    def finish(self) -> None:
        """No more sound: embed what is left."""
        if self._started and not self.finished:
            self._embed_groups()
            complete = (self._samples.end - self._span_samples) // self._hop_samples + 1
            if complete > self.end_instant:
                self._embed(self.end_instant, complete)
        self.finished = True

    def _start(self, start_seconds: float) -> None:
        self._clock = SteadyClock(start_seconds)
        start_sample = round(start_seconds * SAMPLE_RATE_HZ)
        self._samples.start_at(start_sample)
        self._present.start_at(start_sample)
        first_instant = -(-start_sample // self._hop_samples)
        self._embeddings.start_at(first_instant)
        self._levels.start_at(first_instant)
        self._log_mel.start_at(first_instant * self._hop_frames)
        self._started = True

    def _embed_groups(self) -> None:
        while True:
            stop = (self.end_instant // GROUP_INSTANTS + 1) * GROUP_INSTANTS
            if self._samples.end < (stop - 1) * self._hop_samples + self._span_samples:
                return
            self._embed(self.end_instant, stop)

    def _embed(self, start: int, stop: int) -> None:
        """Embed instants [start, stop), whose samples have all arrived or never will."""
        count = stop - start
        embeddings = np.full((count, self._bundle.embedding_dim), np.nan, dtype=np.float32)
        levels = np.full(count, np.nan, dtype=np.float32)
        spans = [self._span(instant) for instant in range(start, stop)]
        usable = [index for index, (_, present) in enumerate(spans) if self._is_usable(present)]
        if usable:
            segments = np.stack([self._segment(start + index) for index in usable])
            embeddings[usable] = self._bundle.embed_audio(segments)
            levels[usable] = [_level_dbfs(spans[index][0][spans[index][1]]) for index in usable]
        self._embeddings.append(embeddings)
        self._levels.append(levels)
        self._samples.drop_before(stop * self._hop_samples)
        self._present.drop_before(stop * self._hop_samples)
        self._log_mel.drop_before(stop * self._hop_frames)

    def _span(self, instant: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        start = instant * self._hop_samples
        stop = start + self._span_samples
        return self._samples.read(start, stop), self._present.read(start, stop)

    def _is_usable(self, present: NDArray[np.bool_]) -> bool:
        tolerated = min(TOLERATED_GAP_SECONDS * SAMPLE_RATE_HZ, TOLERATED_GAP_SHARE * len(present))
        return bool(np.count_nonzero(~present) <= tolerated)

    def _segment(self, instant: int) -> NDArray[np.float32]:
        """Log-mel (segment_frames, bins) of one instant; frames that are not there yet are computed."""
        start = instant * self._hop_frames
        stop = start + self._segment_frames
        if start > self._log_mel.end:
            self._log_mel.start_at(start)
        if stop > self._log_mel.end:
            first_sample = self._log_mel.end * FRAME_SHIFT_SAMPLES
            last_sample = (stop - 1) * FRAME_SHIFT_SAMPLES + FRAME_LENGTH_SAMPLES
            waveform = self._samples.read(first_sample, last_sample)
            frames = self._bundle.log_mel(waveform)
            if len(frames) != num_log_mel_frames(len(waveform)):
                raise BundleError(
                    f"{self._bundle.path} gives {len(frames)} log-mel frames for {len(waveform)} samples, "
                    f"{num_log_mel_frames(len(waveform))} were expected (no padding): export the bundle again"
                )
            self._log_mel.append(frames)
        segment: NDArray[np.float32] = self._log_mel.read(start, stop)
        return segment


def _level_dbfs(samples: NDArray[np.float32]) -> float:
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return float(10 * np.log10(power + 1e-20))
