"""Where a moment of the frame lies in the audio, and which frames make up a tubelet. Pure arithmetic on timestamps.

Log-mel frame m covers samples [160 m, 160 m + 400) of 16 kHz audio, so a segment of L frames that starts at frame m0 is
centred at ((m0 + (L - 1) / 2) * 160 + 200) / 16000 seconds. Training and scoring both align by this centre.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
FRAME_LENGTH_SAMPLES = 400
FRAME_SHIFT_SAMPLES = 160
FRAME_SHIFT_SECONDS = FRAME_SHIFT_SAMPLES / SAMPLE_RATE_HZ


def num_log_mel_frames(num_samples: int) -> int:
    """Whole log-mel frames in `num_samples` samples (Kaldi's snip_edges rule)."""
    return max(0, (num_samples - FRAME_LENGTH_SAMPLES) // FRAME_SHIFT_SAMPLES + 1)


def segment_center_seconds(start_frame: int | NDArray[np.int64], length_frames: int) -> NDArray[np.float64]:
    """Centre of the segment of `length_frames` log-mel frames that starts at `start_frame`, in seconds of the sound."""
    center_frames = np.asarray(start_frame, dtype=np.float64) + (length_frames - 1) / 2
    return (center_frames * FRAME_SHIFT_SAMPLES + FRAME_LENGTH_SAMPLES / 2) / SAMPLE_RATE_HZ


def segment_start_frame(center_seconds: float | NDArray[np.float64], length_frames: int) -> NDArray[np.int64]:
    """First log-mel frame of the segment whose centre lies nearest to `center_seconds` (may be outside the audio)."""
    samples = np.asarray(center_seconds, dtype=np.float64) * SAMPLE_RATE_HZ - FRAME_LENGTH_SAMPLES / 2
    start = samples / FRAME_SHIFT_SAMPLES - (length_frames - 1) / 2
    return np.floor(start + 0.5).astype(np.int64)


def upstream_start_frame(index: int, num_frames: int, num_log_mel: int, length_frames: int) -> int:
    """CAV-MAE Sync's rule for pre-extracted frames: segment of frame `index` of `num_frames`, pushed inside the sound.

    The centre is round(index * S / n) of S log-mel frames, whatever the frames' real times were.
    """
    center = round(index * num_log_mel / num_frames)
    return int(np.clip(center - length_frames // 2, 0, max(0, num_log_mel - length_frames)))


def nearest_index(times_seconds: NDArray[np.float64], wanted_seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the entry of the ascending `times_seconds` nearest to each wanted time (ties to the earlier)."""
    right = np.clip(np.searchsorted(times_seconds, wanted_seconds), 1, max(1, len(times_seconds) - 1))
    if len(times_seconds) == 1:
        return np.zeros(np.shape(wanted_seconds), dtype=np.int64)
    left_gap = wanted_seconds - times_seconds[right - 1]
    right_gap = times_seconds[right] - wanted_seconds
    return np.where(left_gap <= right_gap, right - 1, right).astype(np.int64)


def shown_seconds(times_seconds: NDArray[np.float64]) -> float:
    """How long frames at these ascending times are shown, the last for as long as the others on average."""
    return float((times_seconds[-1] - times_seconds[0]) * len(times_seconds) / max(1, len(times_seconds) - 1))


def even_indices(times_seconds: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Frames nearest to i / count of the time that they are shown, i = 0 .. count - 1: the frames that CAV-MAE's
    extraction takes."""
    return nearest_index(times_seconds, times_seconds[0] + np.arange(count) / count * shown_seconds(times_seconds))


def tubelet_times_seconds(
    center_seconds: NDArray[np.float64], num_frames: int, frame_step_seconds: float
) -> NDArray[np.float64]:
    """Wanted times (..., T) of the frames of the tubelets centred at `center_seconds` (...)."""
    steps = np.arange(num_frames) - num_frames // 2
    return np.asarray(center_seconds)[..., None] + steps * frame_step_seconds
