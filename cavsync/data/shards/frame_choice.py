"""Which of a video's frames are kept, by their times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cavsync.errors import ConfigError
from cavsync.media.align import nearest_index


def choose_frames(
    times_seconds: NDArray[np.float64], *, count: int | None = None, rate_hz: float = 0.0
) -> NDArray[np.int64]:
    """Indices, ascending and distinct, into the ascending `times_seconds` (n,) of a video's frames.

    count: min(count, n) frames, those nearest to the middles of that many equal parts of the video.
    rate_hz: the frames nearest to a grid of that rate from the first frame on; 0 takes all. Raises ConfigError for
    both, or for values out of range.
    """
    if count is not None and (rate_hz or count < 1):
        raise ConfigError(f"{count} frames at {rate_hz} Hz cannot be chosen: give a count of 1 or more, or a rate")
    if not 0 <= rate_hz < np.inf:
        raise ConfigError(f"{rate_hz} is no frame rate: give a number above 0, or 0 for all frames")
    everything = np.arange(len(times_seconds))
    if not len(times_seconds) or (count is None and rate_hz == 0):
        return everything
    span_seconds = times_seconds[-1] - times_seconds[0]
    if count is None:
        steps = np.arange(int(span_seconds * rate_hz + 1e-6) + 1)
        return np.unique(nearest_index(times_seconds, times_seconds[0] + steps / rate_hz))
    if count >= len(times_seconds):
        return everything
    period_seconds = span_seconds / max(1, len(times_seconds) - 1)
    middles = (np.arange(count) + 0.5) / count * (span_seconds + period_seconds) - period_seconds / 2
    return _made_distinct(nearest_index(times_seconds, times_seconds[0] + middles), len(times_seconds))


def _made_distinct(indices: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Move ascending indices as little as needed to make them distinct and below `limit` (at least as many).

    Where the frame rate varies, several times may share a nearest frame; the neighbours then step in.
    """
    steps = np.arange(len(indices))
    distinct: NDArray[np.int64] = np.maximum.accumulate(indices - steps).clip(0, limit - len(indices)) + steps
    return distinct
