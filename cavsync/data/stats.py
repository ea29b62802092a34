"""Mean and standard deviation of a data set's log-mel."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cavsync.data.check import IMG_SIZE
from cavsync.data.clip import Clip
from cavsync.data.parallel import map_clips
from cavsync.data.sources.clips import ClipSource
from cavsync.errors import DataError, MediaError


@dataclass(frozen=True)
class RunningMoments:
    """Count, mean and sum of squared deviations of a set of values."""

    count: int = 0
    mean: float = 0.0
    squared_deviations: float = 0.0

    @classmethod
    def of(cls, values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> RunningMoments:
        """Return the moments of all values of an array, computed in float64."""
        if not values.size:
            return cls()
        wide = values.astype(np.float64)
        mean = float(wide.mean())
        return cls(wide.size, mean, float(np.square(wide - mean).sum()))

    def __add__(self, other: RunningMoments) -> RunningMoments:
        """Return the moments of both sets together, without large sums that lose digits (Chan, Golub, LeVeque 1979)."""
        count = self.count + other.count
        if not count:
            return self
        difference = other.mean - self.mean
        return RunningMoments(
            count,
            self.mean + difference * other.count / count,
            self.squared_deviations + other.squared_deviations + difference**2 * self.count * other.count / count,
        )

    @property
    def std(self) -> float:
        """Standard deviation, 0 without values."""
        return math.sqrt(self.squared_deviations / self.count) if self.count else 0.0


@dataclass
class FeatureStats:
    """Moments of all log-mel values, the number of clips that they come from, and rejects by reason."""

    moments: RunningMoments = field(default_factory=RunningMoments)
    clips: int = 0
    rejects: Counter[str] = field(default_factory=Counter)


def feature_stats(
    source: ClipSource, *, workers: int = 2, progress: Callable[[int, int], None] | None = None
) -> FeatureStats:
    """Compute statistics over the raw log-mel of every usable clip; `progress(done, total)` counts clips.

    Raises DataError if no clip is usable.
    """
    stats = FeatureStats()
    for result in map_clips(_moments, source, IMG_SIZE, workers=workers, progress=progress):
        if isinstance(result, MediaError):
            stats.rejects[result.reason] += 1
        else:
            stats.moments, stats.clips = stats.moments + result, stats.clips + 1
    if not stats.moments.count:
        raise DataError(f"No clip has audio to measure ({dict(stats.rejects)}): see `cavsync data check`.")
    return stats


def _moments(clip: Clip) -> RunningMoments:
    return RunningMoments.of(clip.audio.log_mel().features)
