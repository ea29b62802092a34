"""When things happen, and how a striking part moves so that it arrives exactly then."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cavsync.data.synth.spec import MARGIN_SECONDS

Times = npt.NDArray[np.float64]


def irregular_times(rng: np.random.Generator, duration_seconds: float, interval_seconds: float) -> Times:
    """Event times over the clip and its margins, `interval_seconds` apart on average and never periodic.

    Intervals vary by a factor of three, with a beat that slowly changes, so that no shift other than the true one lines
    two seconds of events up with themselves.
    """
    span = duration_seconds + 2 * MARGIN_SECONDS
    count = int(span / interval_seconds * 2) + 4
    intervals = interval_seconds * rng.uniform(0.5, 1.5, count)
    times = np.cumsum(intervals) - MARGIN_SECONDS
    return times[times < duration_seconds + MARGIN_SECONDS]


def bursts(rng: np.random.Generator, duration_seconds: float, interval_seconds: float, clutter: float) -> Times:
    """Times of disturbances that have nothing to do with the sound: as `irregular_times`, thinned by `clutter`."""
    times = irregular_times(rng, duration_seconds, interval_seconds)
    return times[rng.random(len(times)) < clutter]


@dataclass(frozen=True)
class Stroke:
    """One way down: at `time_seconds` the part reaches `bottom` (0 = contact, more = a silent near miss)."""

    time_seconds: float
    bottom: float
    target: int = 0


class Strokes:
    """Height over time of a part that strikes: 0 is contact, 1 its rest position.

    It falls in `fall_seconds`, stays down for `dwell_seconds` and returns in `lift_seconds`. The fall eases into
    contact, so that the frame moves most *before* the sound and hardly at all when it starts: the energy of motion
    does not tell the instant, the position does.
    """

    def __init__(self, strokes: list[Stroke], fall_seconds: float, dwell_seconds: float, lift_seconds: float) -> None:
        self.strokes = sorted(strokes, key=lambda stroke: stroke.time_seconds)
        self._times = [stroke.time_seconds for stroke in self.strokes]
        self.fall_seconds, self.dwell_seconds, self.lift_seconds = fall_seconds, dwell_seconds, lift_seconds

    def height(self, time_seconds: float) -> float:
        """Height at one instant."""
        index = bisect_right(self._times, time_seconds)
        rise = 1.0
        if index > 0:
            last = self.strokes[index - 1]
            since = time_seconds - last.time_seconds - self.dwell_seconds
            rise = last.bottom + (1 - last.bottom) * ease(since / self.lift_seconds)
        if index < len(self.strokes):
            coming = self.strokes[index]
            done = 1 - (coming.time_seconds - time_seconds) / self.fall_seconds
            rise += (coming.bottom - rise) * fall(done)
        return rise

    def since_contact(self, time_seconds: float) -> tuple[float, int]:
        """Seconds since the last contact (infinite before the first one) and its target."""
        index = bisect_right(self._times, time_seconds)
        while index > 0:
            stroke = self.strokes[index - 1]
            if stroke.bottom == 0:
                return time_seconds - stroke.time_seconds, stroke.target
            index -= 1
        return float("inf"), -1

    def targets(self, time_seconds: float) -> tuple[int, int, float]:
        """Target left, target ahead, and how far (0..1) the part has moved from one to the other."""
        index = bisect_right(self._times, time_seconds)
        ahead = self.strokes[min(index, len(self.strokes) - 1)]
        left = self.strokes[max(index - 1, 0)]
        start = left.time_seconds + self.dwell_seconds
        way = max(ahead.time_seconds - self.fall_seconds / 2 - start, 1e-3)
        return left.target, ahead.target, ease((time_seconds - start) / way)


def with_near_misses(rng: np.random.Generator, hits: list[Stroke], gap_seconds: float, share: float) -> list[Stroke]:
    """Put silent strokes that stop half-way into `share` of the gaps that hold one with `gap_seconds` on each side."""
    strokes = list(hits)
    for before, after in pairwise(hits):
        room = after.time_seconds - before.time_seconds - 2 * gap_seconds
        if room > 0 and rng.random() < share:
            time = before.time_seconds + gap_seconds + room * rng.random()
            strokes.append(Stroke(time, float(rng.uniform(0.24, 0.4)), int(rng.choice([before.target, after.target]))))
    return strokes


def ease(x: float) -> float:
    """Smooth step from 0 to 1 with no speed at either end."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def fall(x: float) -> float:
    """From 0 to 1, fastest about two thirds of the way down and slow again just before contact."""
    x = min(max(x, 0.0), 1.0)
    return x**3 * (4 - 3 * x)


def decay(seconds: float, time_constant_seconds: float) -> float:
    """Exponential decay from 1 at 0; 0 before that."""
    return float(np.exp(-seconds / time_constant_seconds)) if seconds >= 0 else 0.0
