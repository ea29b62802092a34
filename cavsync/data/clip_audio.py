"""The audio of a clip as training cuts it: segments of raw log-mel, made beforehand or only where they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from cavsync.data.logmel import NUM_MEL_BINS, log_mel
from cavsync.media.align import FRAME_LENGTH_SAMPLES, FRAME_SHIFT_SAMPLES, num_log_mel_frames

Features = NDArray[np.float32]


class ClipAudio(Protocol):
    """Log-mel of one clip, 10 ms a frame."""

    def __len__(self) -> int:
        """Whole log-mel frames."""
        ...

    def segments(self, starts: NDArray[np.int64], length: int) -> Features:
        """Frames [start, start + length) of each of `starts` (K,): (K, length, 128); zero outside the sound."""
        ...


@dataclass(frozen=True)
class LogMel:
    """Log-mel that is there already, `features` (m, 128): for clips that are cut again and again."""

    features: Features

    def __len__(self) -> int:
        return len(self.features)

    def segments(self, starts: NDArray[np.int64], length: int) -> Features:
        """Copies of the rows."""
        rows = starts[:, None] + np.arange(length)
        inside = (rows >= 0) & (rows < len(self))
        if not len(self):
            return np.zeros((*rows.shape, NUM_MEL_BINS), dtype=np.float32)
        found = self.features[np.clip(rows, 0, len(self) - 1)]
        return found if inside.all() else np.where(inside[..., None], found, np.float32(0))


@dataclass(frozen=True)
class Waveform:
    """Mono 16 kHz `samples` (n,): only the segments that are asked for become log-mel.

    A log-mel frame depends on its own 25 ms and the mean of the whole audio, so segments equal those cut from the
    log-mel of the whole.
    """

    samples: NDArray[np.float32]

    def __len__(self) -> int:
        return num_log_mel_frames(len(self.samples))

    def segments(self, starts: NDArray[np.int64], length: int) -> Features:
        """One filter bank over each segment's samples."""
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
        """The log-mel of the whole sound."""
        return LogMel(log_mel(torch.from_numpy(self.samples)).numpy())
