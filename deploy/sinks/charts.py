"""Charts of the sync report: offset, confidence and similarity over time, with long files pooled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cavsync.deploy.sinks.axes import Chart, Scale, line_path, time_chart
from cavsync.deploy.verdict.records import AUDIO_EARLY, AUDIO_LATE, IN_SYNC, SyncScore

MAX_POINTS = 400
# States differ in shape as well as in colour: dot, triangle up (early), triangle down (late), ring.
MARKERS = {
    IN_SYNC: "m-2.4 0a2.4 2.4 0 1 0 4.8 0a2.4 2.4 0 1 0 -4.8 0z",
    AUDIO_EARLY: "m0 -3.2l3 5.4h-6z",
    AUDIO_LATE: "m0 3.2l3 -5.4h-6z",
}
RING = "m-1.8 0a1.8 1.8 0 1 0 3.6 0a1.8 1.8 0 1 0 -3.6 0z"


@dataclass(frozen=True)
class Marker:
    """A decision in the offset chart: SVG path, state, tooltip, and the ends of its bar of resolution."""

    path: str
    state: str
    title: str
    x: float
    bar: tuple[float, float] | None


def offset_chart(
    records: Sequence[SyncScore], early_ms: float, late_ms: float, x: Scale
) -> tuple[Chart, list[Marker], tuple[float, float] | None]:
    """Axes and markers of the offset over time, early upwards, and the ends of the profile's band where it has one."""
    known = [record for record in pooled(records) if record.audio_offset_ms is not None]
    offsets = [record.audio_offset_ms or 0.0 for record in known]
    limits = [early_ms, -late_ms] if math.isfinite(early_ms) else []
    low, high = min([*offsets, *limits, -50.0]), max([*offsets, *limits, 50.0])
    margin = 0.12 * (high - low)
    y = Scale.vertical(low - margin, high + margin)
    band = (y(early_ms), y(-late_ms)) if limits else None
    return time_chart(x, y), [_marker(record, x, y) for record in known], band


def field_path(records: Sequence[SyncScore], name: str, chart: Chart) -> str:
    """SVG path of a field over time, interrupted where it is None and clipped to the axis."""
    values = ((record, getattr(record, name)) for record in pooled(records))
    points = (None if value is None else (chart.x(middle_seconds(r)), chart.y.clipped(value)) for r, value in values)
    # The short stroke keeps a lone point visible.
    return line_path(points, after_point="h.1")


def pooled(records: Sequence[SyncScore]) -> list[SyncScore]:
    """At most `MAX_POINTS` records: of each group of neighbours the one farthest from sync."""
    size = -(-len(records) // MAX_POINTS) if records else 1
    runs = [records[start : start + size] for start in range(0, len(records), size)]
    return [max(run, key=lambda record: (record.is_measured, abs(record.audio_offset_ms or 0.0))) for run in runs]


def middle_seconds(record: SyncScore) -> float:
    """The middle of a decision's window, at which it is drawn."""
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
