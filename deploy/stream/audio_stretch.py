"""Audio without a long hole, placed on an absolute 16 kHz clock and embedded at the requested grid instants.

Instant j is the segment that starts at log-mel frame j * hop_frames; sample 0 is time 0 of the stream, and j may be
negative. Each log-mel frame is computed once, and each instant is embedded once, when a video frame needs it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.audio_encoder import AudioEncoder
from cavsync.deploy.stream.limits import GROUP_INSTANTS
from cavsync.deploy.stream.timeline import Timeline
from cavsync.media.align import FRAME_LENGTH_SAMPLES, FRAME_SHIFT_SAMPLES, SAMPLE_RATE_HZ

# Tolerates one lost packet of any common codec (at most 32 ms); a segment with longer gaps is not embedded.
TOLERATED_GAP_SECONDS = 0.05
TOLERATED_GAP_SHARE = 0.1


class AudioStretch:
    """Append 16 kHz mono samples of one `epoch`, embed instants, read their embeddings. Missing instants are NaN.

    Samples, log-mel and embeddings are kept until `drop_before` or `drop_samples` releases them.
    """

    def __init__(self, encoder: AudioEncoder, hop_frames: int, start_sample: int, epoch: int) -> None:
        self.epoch = epoch
        self._encoder = encoder
        self._segment_frames = encoder.segment_frames
        self._hop_frames = hop_frames
        self._hop_samples = hop_frames * FRAME_SHIFT_SAMPLES
        self._span_samples = (self._segment_frames - 1) * FRAME_SHIFT_SAMPLES + FRAME_LENGTH_SAMPLES
        first = -(-start_sample // self._hop_samples)
        # Missing samples are NaN.
        self._samples = Timeline((), np.float32, np.nan, start_sample)
        self._log_mel = Timeline((encoder.num_mel_bins,), np.float32, 0.0, first * hop_frames)
        self._embeddings = Timeline((encoder.embedding_dim,), np.float32, np.nan, first)

    @property
    def first_instant(self) -> int:
        """First kept instant."""
        return self._embeddings.first

    @property
    def end_instant(self) -> int:
        """First instant whose audio has not arrived in full."""
        return max(self.first_instant, (self._samples.end - self._span_samples) // self._hop_samples + 1)

    @property
    def num_samples(self) -> int:
        """Number of kept samples."""
        return self._samples.end - self._samples.first

    @property
    def first_sample(self) -> int:
        """Position of the first kept sample."""
        return self._samples.first

    @property
    def end_sample(self) -> int:
        """Position of the next sample."""
        return self._samples.end

    def append(self, samples: NDArray[np.float32], place: int) -> None:
        """Put samples (n,) at `place`: a gap counts as missing audio; where they overlap older ones, the older stay."""
        self._samples.append_fill(max(0, place - self._samples.end))
        self._samples.append(samples[max(0, self._samples.end - place) :])

    def embed(self, wanted: NDArray[np.int64]) -> None:
        """Embed the instants `wanted` (ascending) whose audio is present and that are not embedded yet."""
        inside = wanted[(wanted >= self.first_instant) & (wanted < self.end_instant)]
        if len(inside) == 0:
            return
        self._embeddings.append_fill(max(0, int(inside[-1]) + 1 - self._embeddings.end))
        first = int(inside[0])
        known = self._embeddings.read(first, int(inside[-1]) + 1)[:, 0]
        fresh = inside[np.isnan(known[inside - first])]
        usable = [int(instant) for instant in fresh if self._is_usable(int(instant))]
        for start in range(0, len(usable), GROUP_INSTANTS):
            group = usable[start : start + GROUP_INSTANTS]
            self._hear_until(group[-1] * self._hop_frames + self._segment_frames)
            embeddings = self._embed(group)
            for instant, embedding in zip(group, embeddings, strict=True):
                self._embeddings.write(instant, embedding[None])

    def embeddings(self, start: int, stop: int) -> NDArray[np.float32]:
        """Embeddings (stop - start, D) of instants [start, stop); NaN where missing."""
        return self._embeddings.read(start, stop)

    def log_mel(self, instant: int) -> NDArray[np.float32] | None:
        """Raw log-mel (segment_frames, bins) of an instant; None where audio is missing."""
        if not self.first_instant <= instant < self.end_instant or not self._is_usable(instant):
            return None
        self._hear_until(instant * self._hop_frames + self._segment_frames)
        return self._segment(instant)

    def log_mel_inside(self, instant: int) -> NDArray[np.float32] | None:
        """The same of the nearest instant whose segment lies inside the stretch; zeros follow the audio where it is
        shorter than a segment. None where the segment of `instant` does not reach into the stretch."""
        start = instant * self._hop_samples
        if start >= self._samples.end or start + self._span_samples <= self._samples.first:
            return None
        if self.end_instant > self.first_instant:
            return self.log_mel(min(max(instant, self.first_instant), self.end_instant - 1))
        samples = self._samples.read(self._samples.first, self._samples.end)
        segment = np.zeros((self._segment_frames, self._encoder.num_mel_bins), np.float32)
        if len(samples) >= FRAME_LENGTH_SAMPLES:
            heard = self._encoder.log_mel(np.nan_to_num(samples))
            segment[: len(heard)] = heard[: self._segment_frames]
        return segment

    def level_dbfs(self, instant: int) -> float:
        """Level of the instant's segment in dB relative to a full-scale square wave; NaN where audio is missing."""
        if not self.first_instant <= instant < self.end_instant or not self._is_usable(instant):
            return float("nan")
        start = instant * self._hop_samples
        return float(10 * np.log10(self.power(start, start + self._span_samples) + 1e-20))

    def power(self, start_sample: int, stop_sample: int) -> float:
        """Mean square of samples [start, stop); NaN where none of them is present."""
        samples = self._samples.read(start_sample, stop_sample).astype(np.float64)
        energy = float(samples @ samples)
        if math.isnan(energy):
            samples = samples[~np.isnan(samples)]
            energy = float(samples @ samples)
        return energy / len(samples) if len(samples) else float("nan")

    def drop_before(self, instant: int) -> None:
        """Release the instants before `instant` and the samples that only they need."""
        self.drop_samples(instant * self._hop_samples - self._samples.first)

    def drop_samples(self, count: int) -> None:
        """Release the oldest `count` samples and the instants that need them."""
        self._samples.drop_before(self._samples.first + max(0, count))
        first = -(-self._samples.first // self._hop_samples)
        self._log_mel.drop_before(first * self._hop_frames)
        # The embeddings must begin where the samples do, even if nothing was embedded up to there.
        self._embeddings.append_fill(max(0, first - self._embeddings.end))
        self._embeddings.drop_before(first)

    def _is_usable(self, instant: int) -> bool:
        tolerated = min(TOLERATED_GAP_SECONDS * SAMPLE_RATE_HZ, TOLERATED_GAP_SHARE * self._span_samples)
        return bool(np.count_nonzero(np.isnan(self._span(instant))) <= tolerated)

    def _span(self, instant: int) -> NDArray[np.float32]:
        """Samples of the instant's segment, NaN where missing."""
        start = instant * self._hop_samples
        return self._samples.read(start, start + self._span_samples)

    def _segment(self, instant: int) -> NDArray[np.float32]:
        """Log-mel (segment_frames, bins) of one instant."""
        start = instant * self._hop_frames
        segment: NDArray[np.float32] = self._log_mel.read(start, start + self._segment_frames)
        return segment

    def _embed(self, instants: list[int]) -> NDArray[np.float32]:
        """Embeddings (n, D) of instants in ascending order, whose log-mel is there."""
        step = self._encoder.step_frames
        if step is None or self._hop_frames % step:
            segments = np.stack([self._segment(instant) for instant in instants])
            return self._encoder.embed(segments).reshape(len(instants), -1)
        found = []
        for run in np.split(instants, np.flatnonzero(np.diff(instants) != 1) + 1):
            start, stop = int(run[0]) * self._hop_frames, int(run[-1]) * self._hop_frames + self._segment_frames
            found.append(self._encoder.embed(self._log_mel.read(start, stop)[None])[0, :: self._hop_frames // step])
        return np.concatenate(found)

    def _hear_until(self, stop: int) -> None:
        """Compute the log-mel frames before `stop` that are missing."""
        if self._log_mel.end < self.first_instant * self._hop_frames:
            self._log_mel.start_at(self.first_instant * self._hop_frames)
        if stop > self._log_mel.end:
            first_sample = self._log_mel.end * FRAME_SHIFT_SAMPLES
            last_sample = (stop - 1) * FRAME_SHIFT_SAMPLES + FRAME_LENGTH_SAMPLES
            waveform = np.nan_to_num(self._samples.read(first_sample, last_sample), copy=False)
            self._log_mel.append(self._encoder.log_mel(waveform))
