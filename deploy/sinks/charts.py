"""Geometry of the report's charts: values to points of an SVG, axes with round ticks, long files pooled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cavsync.deploy.verdict.records import AUDIO_EARLY, AUDIO_LATE, IN_SYNC, SyncScore

# One unit is about one pixel on a phone, so that the text stays readable there.
WIDTH, HEIGHT = 360.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 8.0, 8.0, 22.0
MAX_POINTS = 400
TIME_STEPS_SECONDS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
# Shapes tell the states apart without colour: dot, triangle up (early), triangle down (late), ring.
MARKERS = {
    IN_SYNC: "m-2.4 0a2.4 2.4 0 1 0 4.8 0a2.4 2.4 0 1 0 -4.8 0z",
    AUDIO_EARLY: "m0 -3.2l3 5.4h-6z",
    AUDIO_LATE: "m0 3.2l3 -5.4h-6z",
}
RING = "m-1.8 0a1.8 1.8 0 1 0 3.6 0a1.8 1.8 0 1 0 -3.6 0z"


@dataclass(frozen=True)
class Tick:
    """A tick at `position` (SVG units) with its label."""

    position: float
    label: str


@dataclass(frozen=True)
class Scale:
    """Linear map of [low, high] to SVG units [begin, end]."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """Place of a value, rounded to a tenth of a unit."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)


@dataclass(frozen=True)
class Chart:
    """Axes of a chart and what is drawn between them."""

    x: Scale
    y: Scale
    x_ticks: list[Tick]
    y_ticks: list[Tick]


@dataclass(frozen=True)
class Marker:
    """A decision in the offset chart: SVG path, state, tooltip, and the ends of its resolution bar."""

    path: str
    state: str
    title: str
    x: float
    bar: tuple[float, float] | None


def time_scale(start_seconds: float, end_seconds: float) -> Scale:
    """Horizontal axis of every chart."""
    return Scale(start_seconds, max(end_seconds, start_seconds + 0.1), LEFT, WIDTH - RIGHT)


def time_ticks(scale: Scale) -> list[Tick]:
    """At most six round times."""
    span = scale.high - scale.low
    step = next((step for step in TIME_STEPS_SECONDS if span / step <= 6), 3600 * math.ceil(span / 6 / 3600))
    first = math.ceil(scale.low / step - 1e-9)
    count = math.floor(scale.high / step + 1e-9) - first + 1
    return [Tick(scale((first + index) * step), clock((first + index) * step, span)) for index in range(count)]


def clock(seconds: float, span_seconds: float) -> str:
    """A time of day of the file: `4 s`, `1:30` or `1:02:00`."""
    if span_seconds <= 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def value_ticks(scale: Scale, count: int = 5) -> list[Tick]:
    """About `count` round values."""
    span = scale.high - scale.low
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw - 1e-12)
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [
        Tick(scale(index * step), f"{index * step + 0.0:g}".replace("-", "\N{MINUS SIGN}"))
        for index in range(first, last + 1)
    ]


def offset_chart(
    records: Sequence[SyncScore], early_ms: float, late_ms: float, x: Scale
) -> tuple[Chart, list[Marker], tuple[float, float] | None]:
    """Offset over time, positive (early) upwards, with the ends of the profile's band where it is known."""
    known = [record for record in pooled(records) if record.audio_offset_ms is not None]
    offsets = [record.audio_offset_ms or 0.0 for record in known]
    limits = [early_ms, -late_ms] if math.isfinite(early_ms) else []
    low, high = min([*offsets, *limits, -50.0]), max([*offsets, *limits, 50.0])
    margin = 0.12 * (high - low)
    y = Scale(low - margin, high + margin, HEIGHT - BOTTOM, TOP)
    band = (y(early_ms), y(-late_ms)) if limits else None
    return Chart(x, y, time_ticks(x), value_ticks(y)), [_marker(record, x, y) for record in known], band


def line_chart(x: Scale) -> Chart:
    """Axes for confidence and similarity: 0 to 1, as far below as cosines go is cut off."""
    y = Scale(0.0, 1.0, HEIGHT - BOTTOM, TOP)
    return Chart(x, y, time_ticks(x), value_ticks(y, 4))


def line_path(records: Sequence[SyncScore], name: str, chart: Chart) -> str:
    """SVG path of a field over time, broken where it is None and clipped to the axis."""
    pieces, pen = [], "M"
    for record in pooled(records):
        value = getattr(record, name)
        if value is None:
            pen = "M"
            continue
        clipped = min(max(value, chart.y.low), chart.y.high)
        # The short stroke keeps a lone point visible.
        pieces.append(f"{pen}{chart.x(middle_seconds(record))} {chart.y(clipped)}h.1")
        pen = "L"
    return "".join(pieces)


def pooled(records: Sequence[SyncScore]) -> list[SyncScore]:
    """At most `MAX_POINTS` records: of each run of neighbours the one farthest from sync stands for them."""
    size = -(-len(records) // MAX_POINTS) if records else 1
    runs = [records[start : start + size] for start in range(0, len(records), size)]
    return [max(run, key=lambda record: (record.is_measured, abs(record.audio_offset_ms or 0.0))) for run in runs]


def middle_seconds(record: SyncScore) -> float:
    """The time that a decision is drawn at: the middle of its window."""
    return record.time_seconds - record.window_seconds / 2


def _marker(record: SyncScore, x: Scale, y: Scale) -> Marker:
    offset_ms = record.audio_offset_ms or 0.0
    place_x, place_y = x(middle_seconds(record)), y(offset_ms)
    resolution_ms = record.offset_resolution_ms
    start, end = record.time_seconds - record.window_seconds, record.time_seconds
    confidence = "" if record.confidence is None else f", confidence {record.confidence:.2f}"
    return Marker(
        path=f"M{place_x} {place_y}{MARKERS.get(record.state, RING)}",
        state=record.state,
        title=f"{start:.1f} to {end:.1f} s: {offset_ms:+.0f} ms, {record.state}{confidence}",
        x=place_x,
        bar=None if resolution_ms is None else (y(offset_ms - resolution_ms), y(offset_ms + resolution_ms)),
    )
