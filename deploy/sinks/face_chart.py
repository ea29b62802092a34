"""Chart of mouth opening and loudness, as recorded and with the offset removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.files.face_file import SpeakingFace
from cavsync.deploy.sinks.axes import BOTTOM, HEIGHT, RIGHT, WIDTH, Scale, Tick, line_path, time_ticks
from cavsync.deploy.verdict.curve import FloatArray

STRETCH_SECONDS = 8.0
LOUDNESS_RANGE_DB = 35.0
"""Sound that is softer by this much than the loudest is drawn at the bottom."""
MAX_GAP_SECONDS = 0.2
MIN_SHIFT_MS = 10.0
"""A smaller shift could not be seen."""
LEFT = 8.0
SPACE = 17.0
"""Height of the line of text above each panel."""


@dataclass(frozen=True)
class Panel:
    """One drawing of the mouth, an area, and the sound, a line, between `top` and `bottom`: a caption and SVG paths."""

    caption: str
    top: float
    bottom: float
    mouth: str
    sound: str


@dataclass(frozen=True)
class FaceChart:
    """One panel with the sound as it is in the file and, where an offset is known, one with the sound moved by it."""

    x_ticks: list[Tick]
    panels: list[Panel]
    begin_seconds: float
    end_seconds: float


def face_chart(face: SpeakingFace, offset_ms: float | None) -> FaceChart:
    """Draw the stretch of at most `STRETCH_SECONDS` in which mouth and sound change most.

    offset_ms: by which the audio is early; the second panel shows it later by as much.
    """
    part = telling_part(face)
    times, tracks = face.times_seconds[part], face.tracks[part]
    begin_seconds, end_seconds = float(times.min()), float(times.max())
    x = Scale(begin_seconds, max(end_seconds, begin_seconds + 0.1), LEFT, WIDTH - RIGHT)
    mouth, sound = _share(_smooth(face.mouth_opening[part])), _smooth(_loudness(face.sound_dbfs[part]))
    captions = {0.0: "as in the file"}
    if offset_ms is not None and abs(offset_ms) >= MIN_SHIFT_MS:
        verb = "delayed" if offset_ms > 0 else "advanced"
        captions[offset_ms] = f"with the audio {verb} by {abs(offset_ms):.0f} ms"
    height = (HEIGHT - BOTTOM) / len(captions)
    panels = []
    for index, (shift_ms, caption) in enumerate(captions.items()):
        top, bottom = index * height + SPACE, (index + 1) * height
        y = Scale(0.0, 1.0, bottom, top)
        area = "".join(_area(run, bottom) for run in _runs(times, mouth, x, y, tracks))
        line = "".join(map(line_path, _runs(times + shift_ms / 1000, sound, x, y, np.zeros_like(tracks))))
        panels.append(Panel(caption, round(top, 1), round(bottom, 1), area, line))
    return FaceChart(time_ticks(x), panels, begin_seconds, end_seconds)


def telling_part(face: SpeakingFace) -> slice:
    """Return where, in at most `STRETCH_SECONDS` without a gap, mouth and sound vary most."""
    times = face.times_seconds
    step_seconds = float(np.median(np.diff(times)))
    length = min(len(times), round(STRETCH_SECONDS / step_seconds))
    best, best_score = slice(0, length), -1.0
    for start in range(0, len(times) - length + 1, max(1, length // 8)):
        part = slice(start, start + length)
        steps = np.diff(times[part])
        # Where clocks are set back or faces are missing, less of the stretch tells something.
        share = float(np.mean((steps > 0) & (steps <= MAX_GAP_SECONDS))) ** 20
        score = share * float(np.std(face.mouth_opening[part]) * np.std(_loudness(face.sound_dbfs[part])))
        if score > best_score:
            best, best_score = part, score
    return best


def _share(opening: FloatArray) -> FloatArray:
    """The opening of the mouth from 0, closed, to 1, its widest but for rare moments."""
    low, high = np.percentile(opening, [1, 99])
    share: FloatArray = np.clip((opening - low) / max(high - low, 1e-9), 0, 1)
    return share


def _loudness(sound_dbfs: FloatArray) -> FloatArray:
    """Loudness from 0 to 1; missing sound is 0."""
    known = np.where(np.isfinite(sound_dbfs), sound_dbfs, -np.inf)
    top = float(np.max(known, initial=-120.0))
    share: FloatArray = np.clip((known - (top - LOUDNESS_RANGE_DB)) / LOUDNESS_RANGE_DB, 0, 1)
    return share


def _smooth(values: FloatArray) -> FloatArray:
    """The mean of each value and its two neighbours, half of it the value itself: it moves nothing in time."""
    smooth: FloatArray = np.convolve(np.pad(values, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    return smooth


def _runs(
    times: FloatArray, values: FloatArray, x: Scale, y: Scale, tracks: NDArray[np.int64]
) -> Iterator[list[tuple[float, float]]]:
    """Yield the points inside the chart, cut where time makes a step or another face speaks."""
    steps = np.diff(times)
    is_cut = (steps <= 0) | (steps > MAX_GAP_SECONDS) | (np.diff(tracks) != 0)
    for run in np.split(np.arange(len(times)), np.flatnonzero(is_cut) + 1):
        inside = [index for index in run if x.low <= times[index] <= x.high]
        if inside:
            yield [(x(float(times[index])), y(float(values[index]))) for index in inside]


def _area(points: list[tuple[float, float]], bottom: float) -> str:
    """The surface between the points and `bottom`."""
    return f"{line_path([(points[0][0], bottom), *points, (points[-1][0], bottom)])}z"
