"""Choose which of a video's frames to keep, by their times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cavsync.errors import ConfigError
from cavsync.media.align import nearest_index


def choose_frames(
    times_seconds: NDArray[np.float64], *, count: int | None = None, rate_hz: float = 0.0
) -> NDArray[np.int64]:
    """Return ascending, distinct indices into `times_seconds` (n,), the ascending times of a video's frames.

    count: choose min(count, n) frames, those nearest to the middles of that many equal parts of the video.
    rate_hz: choose the frames nearest to a grid of that rate from the first frame on; 0 chooses all.
    Raises ConfigError if both are given, or for values out of range.
    """
    if count is not None and (rate_hz or count < 1):
        raise ConfigError(f"{count} frames at {rate_hz} Hz cannot be chosen: give a count of 1 or more, or a rate")
    if not 0 <= rate_hz < np.inf:
        raise ConfigError(f"{rate_hz} is not a frame rate: give a number above 0, or 0 for all frames")
    all_frames = np.arange(len(times_seconds))
    if not len(times_seconds) or (count is None and rate_hz == 0):
        return all_frames
    span_seconds = times_seconds[-1] - times_seconds[0]
    if count is None:
        steps = np.arange(int(span_seconds * rate_hz + 1e-6) + 1)
        return np.unique(nearest_index(times_seconds, times_seconds[0] + steps / rate_hz))
    if count >= len(times_seconds):
        return all_frames
    period_seconds = span_seconds / max(1, len(times_seconds) - 1)
    middles = (np.arange(count) + 0.5) / count * (span_seconds + period_seconds) - period_seconds / 2
    return _made_distinct(nearest_index(times_seconds, times_seconds[0] + middles), len(times_seconds))


def _made_distinct(indices: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Move ascending indices as little as needed to make them distinct and below `limit`, at least their number.

    With a variable frame rate, several wanted times may share a nearest frame; neighbouring frames are then taken.
    """
    steps = np.arange(len(indices))
    distinct: NDArray[np.int64] = np.maximum.accumulate(indices - steps).clip(0, limit - len(indices)) + steps
    return distinct
