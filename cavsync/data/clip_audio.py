"""The audio of a clip, from which segments of raw log-mel are cut: stored as log-mel or as samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cavsync.data.logmel import NUM_MEL_BINS, log_mel
from cavsync.media.align import FRAME_LENGTH_SAMPLES, FRAME_SHIFT_SAMPLES, num_log_mel_frames

Features = NDArray[np.float32]


def take_inside(values: Features, places: NDArray[np.int64]) -> Features:
    """Return `values[places]`, zero for the places outside `values`."""
    inside = (places >= 0) & (places < len(values))
    found = np.zeros((*places.shape, *values.shape[1:]), dtype=np.float32)
    found[inside] = values[places[inside]]
    return found


@dataclass(frozen=True)
class LogMel:
    """Log-mel `features` (m, 128) computed in advance, one frame per 10 ms, for clips from which segments are cut many
    times."""

    features: Features

    def __len__(self) -> int:
        return len(self.features)

    def segments(self, starts: NDArray[np.int64], length: int) -> Features:
        """Return frames [start, start + length) for each of `starts` (K,): (K, length, 128), zero outside the audio."""
        return take_inside(self.features, starts[:, None] + np.arange(length))

    def log_mel(self) -> LogMel:
        """Return the log-mel itself."""
        return self


@dataclass(frozen=True)
class Waveform:
    """Mono 16 kHz `samples` (n,), of which only the requested segments are transformed to log-mel.

    A log-mel frame depends on its own 25 ms and the mean of the whole audio, so segments equal those that are cut from
    the log-mel of the whole audio.
    """

    samples: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of complete log-mel frames."""
        return num_log_mel_frames(len(self.samples))

    def segments(self, starts: NDArray[np.int64], length: int) -> Features:
        """Compute the log-mel (K, length, 128) of each segment's samples, zero outside the audio."""
        mean = torch.from_numpy(self.samples).mean()
        found = np.zeros((len(starts), length, NUM_MEL_BINS), dtype=np.float32)
        for place, start in enumerate(starts):
            first, last = max(0, int(start)), min(len(self), int(start) + length)
            if last > first:
                end = (last - 1) * FRAME_SHIFT_SAMPLES + FRAME_LENGTH_SAMPLES
                part = torch.from_numpy(self.samples[first * FRAME_SHIFT_SAMPLES : end])
                found[place, first - start : last - start] = log_mel(part, mean).numpy()
        return found

    def log_mel(self) -> LogMel:
        """Compute the log-mel of the whole audio."""
        return LogMel(log_mel(torch.from_numpy(self.samples)).numpy())


ClipAudio = LogMel | Waveform
