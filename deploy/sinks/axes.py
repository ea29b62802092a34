"""Geometry that the sync report and result pages share: scales, axes with round ticks, lines. Units are SVG units."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

# One unit is about one pixel on a phone, so that the text stays readable there.
WIDTH, HEIGHT = 360.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 8.0, 8.0, 22.0
# The names of these in templates.
FRAME = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}
TIME_STEPS_SECONDS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


@dataclass(frozen=True)
class Tick:
    """A tick at `position` with its label."""

    position: float
    label: str


@dataclass(frozen=True)
class Scale:
    """Linear map of [low, high] to [begin, end]."""

    low: float
    high: float
    begin: float
    end: float

    @classmethod
    def horizontal(cls, low: float, high: float) -> Self:
        """From the left edge of a chart to its right one."""
        return cls(low, high, LEFT, WIDTH - RIGHT)

    @classmethod
    def vertical(cls, low: float, high: float) -> Self:
        """From the bottom edge of a chart to its top."""
        return cls(low, high, HEIGHT - BOTTOM, TOP)

    def __call__(self, value: float) -> float:
        """Place of a value, rounded to a tenth of a unit."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)

    def clipped(self, value: float) -> float:
        """Place of a value, moved to the nearest end where it lies outside."""
        return self(min(max(value, self.low), self.high))


@dataclass(frozen=True)
class Chart:
    """The two axes of a chart."""

    x: Scale
    y: Scale
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def time_scale(start_seconds: float, end_seconds: float) -> Scale:
    """Horizontal axis over a file or a part of it, at least a tenth of a second long."""
    return Scale.horizontal(start_seconds, max(end_seconds, start_seconds + 0.1))


def time_chart(x: Scale, y: Scale, count: int = 5) -> Chart:
    """Time to the right and a value upwards, with about `count` ticks."""
    return Chart(x, y, time_ticks(x), value_ticks(y, count))


def time_ticks(scale: Scale) -> list[Tick]:
    """At most six round times."""
    span = scale.high - scale.low
    step = next((step for step in TIME_STEPS_SECONDS if span / step <= 6), 3600 * math.ceil(span / 6 / 3600))
    return [Tick(scale(time), clock(time, span)) for time in _multiples(scale, step)]


def clock(seconds: float, span_seconds: float) -> str:
    """A time in a file: `4 s`, `1:30` or `1:02:00`."""
    if span_seconds <= 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def value_ticks(scale: Scale, count: int = 5) -> list[Tick]:
    """About `count` round values."""
    raw = (scale.high - scale.low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw - 1e-12)
    return [Tick(scale(value), f"{value + 0.0:g}".replace("-", "\N{MINUS SIGN}")) for value in _multiples(scale, step)]


def line_path(points: Iterable[tuple[float, float] | None], after_point: str = "") -> str:
    """SVG path along points, interrupted at each None; `after_point` is drawn at every point."""
    pieces, pen = [], "M"
    for point in points:
        if point is not None:
            pieces.append(f"{pen}{point[0]} {point[1]}{after_point}")
        pen = "M" if point is None else "L"
    return "".join(pieces)


def _multiples(scale: Scale, step: float) -> list[float]:
    """Multiples of `step` on the scale, ends included despite rounding."""
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]
