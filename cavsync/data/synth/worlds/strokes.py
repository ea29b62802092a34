"""Strokes of a bow, a saw or a file: to and fro, with pauses, and some of them lifted off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cavsync.data.synth.rhythm import ease
from cavsync.data.synth.spec import MARGIN_SECONDS

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BowStrokes:
    """Strokes one after another: their starts and ends in seconds, ascending, the places in 0..1 between which they go
    (n + 1,), and whether they touch; in between, the tool rests."""

    starts: Curve
    stops: Curve
    places: Curve
    touching: npt.NDArray[np.bool_]

    def place(self, times_seconds: Curve) -> Curve:
        """Return the place at each instant; speed rises and falls smoothly within each stroke."""
        index = np.clip(np.searchsorted(self.starts, times_seconds, side="right") - 1, 0, len(self.starts) - 1)
        part = np.clip((times_seconds - self.starts[index]) / (self.stops - self.starts)[index], 0, 1)
        moved = part - np.sin(2 * np.pi * part) / (2 * np.pi)
        return np.asarray(self.places[index] + (self.places[index + 1] - self.places[index]) * moved)

    def contact_speed(self, times_seconds: Curve) -> Curve:
        """Return the speed at each instant, about 0..1, where the stroke touches; else 0."""
        index = np.clip(np.searchsorted(self.starts, times_seconds, side="right") - 1, 0, len(self.starts) - 1)
        seconds = (self.stops - self.starts)[index]
        part = np.clip((times_seconds - self.starts[index]) / seconds, 0, 1)
        way = np.abs(np.diff(self.places))[index]
        speed = way / seconds * (1 - np.cos(2 * np.pi * part))
        return np.asarray(np.where(self.touching[index], np.clip(speed / 3.0, 0, 1), 0.0))

    def lifted(self, time_seconds: float) -> float:
        """Return how far the tool is off, 0..1: from the end of one stroke to the start of the next it goes up or
        down."""
        index = int(np.clip(np.searchsorted(self.starts, time_seconds, side="right") - 1, 0, len(self.starts) - 1))
        here = 0.0 if self.touching[index] else 1.0
        if index + 1 >= len(self.starts) or time_seconds <= self.stops[index]:
            return here
        gap = max(float(self.starts[index + 1] - self.stops[index]), 1e-3)
        there = 0.0 if self.touching[index + 1] else 1.0
        return here + (there - here) * ease((time_seconds - self.stops[index]) / (0.9 * gap))

    def events(self) -> list[float]:
        """Return the starts of the strokes that touch."""
        return [float(time) for time in self.starts[self.touching]]


def draw_strokes(
    rng: np.random.Generator,
    duration_seconds: float,
    seconds: tuple[float, float],
    pause_share: float,
    lifted_share: float,
) -> BowStrokes:
    """Draw strokes over the clip and its margins that last `seconds` (shortest, longest); a share of them is followed
    by a pause, and a share is made in the air."""
    time, place = -MARGIN_SECONDS - 1.0, float(rng.uniform(0, 0.3))
    starts, stops, places, touching = [], [], [place], []
    while time < duration_seconds + MARGIN_SECONDS:
        length = float(rng.uniform(*seconds))
        starts.append(time)
        stops.append(time + length)
        place = float(rng.uniform(0.6, 1.0) if place < 0.5 else rng.uniform(0.0, 0.4))
        places.append(place)
        touching.append(bool(rng.random() >= lifted_share))
        changes = len(touching) > 1 and touching[-1] != touching[-2]
        time += length + (0.14 if changes or lifted_share > 0 else 0.02)
        if rng.random() < pause_share:
            time += float(rng.uniform(0.3, 0.8))
    return BowStrokes(np.array(starts), np.array(stops), np.array(places), np.array(touching))
