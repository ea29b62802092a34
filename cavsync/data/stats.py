"""Mean and standard deviation of a data set's log-mel."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

import numpy as np

from cavsync.data.check import CHUNK_CLIPS, IMG_SIZE
from cavsync.data.preload import one_thread
from cavsync.data.sources.clips import ClipSource
from cavsync.errors import DataError, MediaError


@dataclass(frozen=True)
class RunningMoments:
    """Count, mean and sum of squared deviations of some values."""

    count: int = 0
    mean: float = 0.0
    squared_deviations: float = 0.0

    @classmethod
    def of(cls, values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> RunningMoments:
        """Of all values of an array, in float64."""
        if not values.size:
            return cls()
        wide = values.astype(np.float64)
        mean = float(wide.mean())
        return cls(wide.size, mean, float(np.square(wide - mean).sum()))

    def __add__(self, other: RunningMoments) -> RunningMoments:
        """Of both sets of values together; no digits are lost to large sums (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        if not count:
            return self
        apart = other.mean - self.mean
        return RunningMoments(
            count,
            self.mean + apart * other.count / count,
            self.squared_deviations + other.squared_deviations + apart**2 * self.count * other.count / count,
        )

    @property
    def std(self) -> float:
        """Standard deviation, 0 without values."""
        return math.sqrt(self.squared_deviations / self.count) if self.count else 0.0


@dataclass
class FeatureStats:
    """Moments of all log-mel values, the clips that gave them, and rejects by reason."""

    moments: RunningMoments = field(default_factory=RunningMoments)
    clips: int = 0
    rejects: Counter[str] = field(default_factory=Counter)


def feature_stats(
    source: ClipSource, *, workers: int = 2, progress: Callable[[int, int], None] | None = None
) -> FeatureStats:
    """Statistics over the raw log-mel of every usable clip; `progress(done, total)` is called as clips are done.

    Raises DataError where no clip is usable.
    """
    jobs = [(source, index) for index in range(len(source.names))]
    stats = FeatureStats()
    with ProcessPoolExecutor(max(1, workers), mp_context=get_context("spawn"), initializer=one_thread) as pool:
        for done, result in enumerate(pool.map(_moments, jobs, chunksize=CHUNK_CLIPS), start=1):
            if isinstance(result, str):
                stats.rejects[result] += 1
            else:
                stats.moments, stats.clips = stats.moments + result, stats.clips + 1
            if progress is not None:
                progress(done, len(jobs))
    if not stats.moments.count:
        raise DataError(f"No clip has audio to measure ({dict(stats.rejects)}): see `cavsync data check`.")
    return stats


def _moments(job: tuple[ClipSource, int]) -> RunningMoments | str:
    """Moments of one clip, or the reason why it is rejected."""
    source, index = job
    try:
        audio = source.load(index, IMG_SIZE).audio
        return RunningMoments.of(audio.segments(np.zeros(1, dtype=np.int64), len(audio)))
    except MediaError as error:
        return error.reason
