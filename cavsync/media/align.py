"""Alignment of video times with log-mel frames, and the frame times of a tubelet. Pure arithmetic on timestamps.

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
PUBLISHED_LOG_MEL_FRAMES = 1024
"""Log-mel frames of every clip in the code of CAV-MAE and CAV-MAE Sync."""


def num_log_mel_frames(num_samples: int) -> int:
    """Return the number of whole log-mel frames in `num_samples` samples (Kaldi's snip_edges rule)."""
    return max(0, (num_samples - FRAME_LENGTH_SAMPLES) // FRAME_SHIFT_SAMPLES + 1)


def segment_center_seconds(start_frame: int | NDArray[np.int64], length_frames: int) -> NDArray[np.float64]:
    """Return the centre of the segment of `length_frames` log-mel frames from `start_frame` on, in seconds of audio."""
    center_frames = np.asarray(start_frame, dtype=np.float64) + (length_frames - 1) / 2
    return (center_frames * FRAME_SHIFT_SAMPLES + FRAME_LENGTH_SAMPLES / 2) / SAMPLE_RATE_HZ


def segment_start_frame(center_seconds: float | NDArray[np.float64], length_frames: int) -> NDArray[np.int64]:
    """Return the first log-mel frame of the segment centred nearest to `center_seconds`; may lie outside the audio."""
    samples = np.asarray(center_seconds, dtype=np.float64) * SAMPLE_RATE_HZ - FRAME_LENGTH_SAMPLES / 2
    start = samples / FRAME_SHIFT_SAMPLES - (length_frames - 1) / 2
    return np.floor(start + 0.5).astype(np.int64)


def upstream_start_frame(index: int, num_frames: int, num_log_mel: int, length_frames: int) -> int:
    """Return the first log-mel frame of the segment for frame `index` of `num_frames` by CAV-MAE Sync's rule.

    The rule is for pre-extracted frames: it ignores their real times, centres the segment at round(index * S / n) of S
    log-mel frames, and shifts it to lie inside the audio.
    """
    center = round(index * num_log_mel / num_frames)
    return int(np.clip(center - length_frames // 2, 0, max(0, num_log_mel - length_frames)))


def published_start_frames(num_frames: int, length_frames: int) -> NDArray[np.int64]:
    """Return the first log-mel frame (num_frames,) of each frame's segment as CAV-MAE Sync's and CAV-MAE's code cut it.

    Both pad or cut every clip's log-mel to `PUBLISHED_LOG_MEL_FRAMES` first, so that of shorter audio the last segments
    are partly or wholly padding, and audio after 10.24 s is never heard. CAV-MAE's segment is all of it, whatever the
    frame.
    """
    starts = [
        upstream_start_frame(number, num_frames, PUBLISHED_LOG_MEL_FRAMES, length_frames)
        for number in range(num_frames)
    ]
    return np.asarray(starts, dtype=np.int64)


def nearest_index(times_seconds: NDArray[np.float64], wanted_seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the index in the ascending `times_seconds` nearest to each wanted time (ties go to the earlier)."""
    right = np.clip(np.searchsorted(times_seconds, wanted_seconds), 1, max(1, len(times_seconds) - 1))
    if len(times_seconds) == 1:
        return np.zeros(np.shape(wanted_seconds), dtype=np.int64)
    left_gap = wanted_seconds - times_seconds[right - 1]
    right_gap = times_seconds[right] - wanted_seconds
    return np.where(left_gap <= right_gap, right - 1, right).astype(np.int64)


def shown_seconds(times_seconds: NDArray[np.float64]) -> float:
    """Return how long frames at these ascending times are shown; the last one counts for the mean of the others."""
    return float((times_seconds[-1] - times_seconds[0]) * len(times_seconds) / max(1, len(times_seconds) - 1))


def even_indices(times_seconds: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the indices of the frames nearest to i / count of the time shown, i = 0 .. count - 1.

    CAV-MAE's own extraction takes these frames.
    """
    return nearest_index(times_seconds, times_seconds[0] + np.arange(count) / count * shown_seconds(times_seconds))


def tubelet_times_seconds(
    center_seconds: NDArray[np.float64], num_frames: int, frame_step_seconds: float
) -> NDArray[np.float64]:
    """Return the times (..., T) at which the tubelets centred at `center_seconds` (...) need a frame."""
    steps = np.arange(num_frames) - num_frames // 2
    return np.asarray(center_seconds)[..., None] + steps * frame_step_seconds
