"""Times of events, and the motion of striking parts that arrive exactly at those times."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cavsync.data.synth.spec import MARGIN_SECONDS

Times = npt.NDArray[np.float64]


def irregular_times(rng: np.random.Generator, duration_seconds: float, interval_seconds: float) -> Times:
    """Draw event times over the clip and its margins, `interval_seconds` apart on average and never periodic.

    Intervals vary by a factor of three, so that no shift but the true one aligns two seconds of events with themselves.
    """
    span = duration_seconds + 2 * MARGIN_SECONDS
    count = int(span / interval_seconds * 2) + 4
    intervals = interval_seconds * rng.uniform(0.5, 1.5, count)
    times = np.cumsum(intervals) - MARGIN_SECONDS
    return times[times < duration_seconds + MARGIN_SECONDS]


def spaced_times(times: Times, min_gap_seconds: float) -> list[float]:
    """Drop the times that follow a kept one by less than `min_gap_seconds`."""
    kept: list[float] = []
    for time in times.tolist():
        if not kept or time - kept[-1] >= min_gap_seconds:
            kept.append(time)
    return kept


def bursts(rng: np.random.Generator, duration_seconds: float, interval_seconds: float, clutter: float) -> Times:
    """Draw times of disturbances that are independent of the sound: `irregular_times`, of which `clutter` are kept."""
    times = irregular_times(rng, duration_seconds, interval_seconds)
    return times[rng.random(len(times)) < clutter]


@dataclass(frozen=True)
class Stroke:
    """One downward move, which reaches the height `bottom` at `time_seconds` (0: contact; more: a silent near miss)."""

    time_seconds: float
    bottom: float
    target: int = 0


class Strokes:
    """Height over time of a striking part: 0 is contact, 1 its rest position.

    It falls in `fall_seconds`, stays down for `dwell_seconds` and returns in `lift_seconds`. The fall slows down before
    contact, so that most of the motion comes before the sound and little when it starts: only the position, not the
    motion energy, shows the instant of contact.
    """

    def __init__(self, strokes: list[Stroke], fall_seconds: float, dwell_seconds: float, lift_seconds: float) -> None:
        self.strokes = sorted(strokes, key=lambda stroke: stroke.time_seconds)
        self._times = [stroke.time_seconds for stroke in self.strokes]
        self.fall_seconds, self.dwell_seconds, self.lift_seconds = fall_seconds, dwell_seconds, lift_seconds

    def height(self, time_seconds: float) -> float:
        """Return the height at one instant."""
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
        """Return the seconds since the last contact (infinite before the first one) and its target."""
        index = bisect_right(self._times, time_seconds)
        while index > 0:
            stroke = self.strokes[index - 1]
            if stroke.bottom == 0:
                return time_seconds - stroke.time_seconds, stroke.target
            index -= 1
        return float("inf"), -1

    def targets(self, time_seconds: float) -> tuple[int, int, float]:
        """Return the last target, the next target, and how far (0..1) the part has moved from one to the other."""
        index = bisect_right(self._times, time_seconds)
        ahead = self.strokes[min(index, len(self.strokes) - 1)]
        behind = self.strokes[max(index - 1, 0)]
        start = behind.time_seconds + self.dwell_seconds
        move_seconds = max(ahead.time_seconds - self.fall_seconds / 2 - start, 1e-3)
        return behind.target, ahead.target, ease((time_seconds - start) / move_seconds)


def with_near_misses(rng: np.random.Generator, hits: list[Stroke], gap_seconds: float, share: float) -> list[Stroke]:
    """Insert a silent stroke that stops half-way into `share` of the gaps with room for one, `gap_seconds` from both
    neighbours."""
    strokes = list(hits)
    for before, after in pairwise(hits):
        room = after.time_seconds - before.time_seconds - 2 * gap_seconds
        if room > 0 and rng.random() < share:
            time = before.time_seconds + gap_seconds + room * rng.random()
            strokes.append(Stroke(time, float(rng.uniform(0.24, 0.4)), int(rng.choice([before.target, after.target]))))
    return strokes


def ease(x: float) -> float:
    """Return a smooth step from 0 to 1 with zero speed at both ends."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def fall(x: float) -> float:
    """Return a step from 0 to 1 that is fastest after two thirds of the time and slow just before its end."""
    x = min(max(x, 0.0), 1.0)
    return x**3 * (4 - 3 * x)


def decay(seconds: float, time_constant_seconds: float) -> float:
    """Return an exponential decay from 1 at time 0; 0 before."""
    return float(np.exp(-seconds / time_constant_seconds)) if seconds >= 0 else 0.0


def position_at(starts: Times, positions: Times, time_seconds: float, move_seconds: float) -> Times:
    """Return the position of a part that moves to the next of `positions` (n + 1, ...) at each of `starts` (n,)."""
    index = int(np.searchsorted(starts, time_seconds))
    old, new = positions[max(index - 1, 0)], positions[index]
    moved = ease((time_seconds - starts[index - 1]) / move_seconds) if index > 0 else 1.0
    return np.asarray(old + (new - old) * moved, dtype=np.float64)
