"""Geometry of a result's plots: curves, bands and bars between the axes of the sync report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cavsync.deploy.sinks.axes import Chart, Scale, line_path, value_ticks
from cavsync.evaluate.results.result import Plot, PlotCurve

# Curves differ in dashes as well as in colours; after the last dash they repeat.
DASHES = ("", "5 3", "1.5 2.5", "7 2 1.5 2", "9 4", "3 1.5")
BAR_SHARE = 0.8


@dataclass(frozen=True)
class DrawnCurve:
    """SVG paths of one curve: its line, its band ("" without) and the dots of its points."""

    label: str
    number: int
    dash: str
    line: str
    band: str
    dots: list[tuple[float, float, str]]


@dataclass(frozen=True)
class Bar:
    """A bar that stands on the bottom axis."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class DrawnPlot:
    """A plot as the template draws it."""

    plot: Plot
    chart: Chart
    curves: list[DrawnCurve]
    bars: list[Bar]
    reference: tuple[float, float, float, float] | None


def draw(plot: Plot) -> DrawnPlot:
    """Axes that span every value, and the paths of curves, bands and bars."""
    # Bars reach half a step to either side of their value.
    room = [_step(plot.curves[0].x) / 2 * sign for sign in (-1, 1)] if plot.bars and plot.curves else [0.0]
    x_range = plot.x_range or _span(value + extra for curve in plot.curves for value in curve.x for extra in room)
    y_range = plot.y_range or _span(
        value
        for curve in plot.curves
        for values in (curve.y, curve.low or (), curve.high or (), [0.0] if plot.bars else ())
        for value in values
        if value is not None
    )
    x, y = Scale.horizontal(*x_range), Scale.vertical(*y_range)
    chart = Chart(x, y, value_ticks(x), value_ticks(y))
    reference = None
    if plot.reference is not None:
        (x1, y1), (x2, y2) = plot.reference
        reference = (x(x1), y(y1), x(x2), y(y2))
    return DrawnPlot(
        plot=plot,
        chart=chart,
        curves=[] if plot.bars else [_curve(curve, number, chart) for number, curve in enumerate(plot.curves)],
        bars=_bars(plot.curves[0], chart) if plot.bars and plot.curves else [],
        reference=reference,
    )


def _span(values: Iterable[float]) -> tuple[float, float]:
    """Range of the values with a margin; for a single value, a range around it."""
    found = list(values)
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    margin = 0.05 * (high - low)
    return (low if low == 0 else low - margin), high + margin


def _curve(curve: PlotCurve, number: int, chart: Chart) -> DrawnCurve:
    values = list(zip(curve.x, curve.y, strict=True))
    points = [None if y is None else (chart.x(x), chart.y.clipped(y)) for x, y in values]
    dots = [(*point, f"{curve.label}: {x:.4g}, {y:.4g}") for point, (x, y) in zip(points, values, strict=True) if point]
    return DrawnCurve(
        label=curve.label,
        number=number % len(DASHES),
        dash=DASHES[number % len(DASHES)],
        line=line_path(points),
        band=_band(curve, chart),
        # Dots of a dense curve would hide it.
        dots=dots if len(dots) <= 40 else [],
    )


def _band(curve: PlotCurve, chart: Chart) -> str:
    """Closed path along the lower ends and back along the upper ones; "" for fewer than two points."""
    if curve.low is None or curve.high is None:
        return ""
    known = [
        (chart.x(x), chart.y.clipped(low), chart.y.clipped(high))
        for x, low, high in zip(curve.x, curve.low, curve.high, strict=True)
        if low is not None and high is not None
    ]
    points = [(x, low) for x, low, _ in known] + [(x, high) for x, _, high in reversed(known)]
    return line_path(points) + "z" if len(known) > 1 else ""


def _bars(curve: PlotCurve, chart: Chart) -> list[Bar]:
    width = BAR_SHARE * _step(curve.x) / (chart.x.high - chart.x.low) * (chart.x.end - chart.x.begin)
    bottom = chart.y.clipped(0.0)
    bars = []
    for x, y in zip(curve.x, curve.y, strict=True):
        if y is not None:
            top = chart.y.clipped(y)
            left = round(chart.x(x) - width / 2, 1)
            bars.append(Bar(left, top, round(width, 1), round(max(bottom - top, 0.0), 1), f"{x:.4g}: {y:.4g}"))
    return bars


def _step(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return min((b - a for a, b in pairwise(ordered) if b > a), default=1.0)
