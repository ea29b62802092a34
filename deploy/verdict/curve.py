"""The similarity curve S(lag) of a part of a stream, its peak, and the features of the confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Least number and share of rows for a lag to count; near the ends of a clip large lags have no audio.
MIN_ROWS = 8
MIN_ROW_SHARE = 0.4
NUM_PARTS = 4
FACE_PRIOR_ROWS = 12.0
"""Prior rows of a face's curve, see `curve_of_sums`: a face is often there for a short time only."""
# Maxima closer than SAME_PEAK_MS count as one peak. AGREEMENT_MS is below the loosest broadcast limit.
SAME_PEAK_MS = 200.0
AGREEMENT_MS = 100.0
SHOULDER_MS = 120.0
MAX_Z = 30.0

FEATURE_NAMES = (
    *("peak_z", "margin_z", "sharpness_z", "peak_similarity", "contrast", "agreement", "log_frames", "strength"),
)
"""Features of `curve_features`, in order; a calibration lists those that it uses."""


@dataclass(frozen=True)
class Curve:
    """Mean similarity per lag.

    `lags_ms` (n,) ascending; `similarity` (n,), NaN where too few frames count; `part_similarity` (P, n) is the same
    for P consecutive parts; `num_frames` is the number of frames, and `num_rows` (n,) that of those with audio,
    None for all.
    """

    lags_ms: FloatArray
    similarity: FloatArray
    part_similarity: FloatArray
    num_frames: int
    num_rows: NDArray[np.int64] | None = None

    @property
    def peak_lag_ms(self) -> float:
        """Lag of the peak; NaN where no lag counts."""
        peak = find_peak(self.lags_ms, self.similarity)
        return math.nan if peak is None else peak.lag_ms


@dataclass(frozen=True)
class Peak:
    """Highest point of a curve: `lag_ms` is interpolated by a parabola; `at_edge` if it is the first or last lag.

    `spacing_ms` is the distance to the neighbouring lags, one hop unless an adaptive search skipped some.
    """

    index: int
    lag_ms: float
    similarity: float
    at_edge: bool
    spacing_ms: float = 0.0


def lag_grid_ms(max_offset_ms: float, hop_ms: float) -> FloatArray:
    """Return the multiples of `hop_ms` within ±max_offset_ms."""
    steps = math.floor(max_offset_ms / hop_ms + 1e-9)
    return np.arange(-steps, steps + 1, dtype=np.float64) * hop_ms


def curve_of_rows(lags_ms: FloatArray, rows: FloatArray, *, prior_rows: float = 0.0) -> Curve:
    """Return the curve of similarity rows (frames, lags), NaN where a frame has no audio at that lag; `prior_rows` as
    for `curve_of_sums`."""
    parts = np.array_split(rows, NUM_PARTS)
    sums = np.stack([np.nansum(part, axis=0) for part in parts])
    counts = np.stack([np.count_nonzero(~np.isnan(part), axis=0) for part in parts])
    return curve_of_sums(lags_ms, sums, counts, len(rows), prior_rows=prior_rows)


def curve_of_sums(
    lags_ms: FloatArray, sums: FloatArray, counts: NDArray[np.int64], num_frames: int, *, prior_rows: float = 0.0
) -> Curve:
    """Return the curve from sums and counts (blocks, lags) of similarities over consecutive blocks of frames.

    The mean of few rows strays, and the highest of many lags is often one with few. Each lag counts as if it had
    `prior_rows` more rows with the mean similarity of all.
    """
    parts = zip(np.array_split(sums, NUM_PARTS), np.array_split(counts, NUM_PARTS), strict=True)
    total_count = counts.sum(axis=0)
    enough = max(MIN_ROWS, MIN_ROW_SHARE * num_frames)
    total = sums.sum(axis=0)
    mean = total.sum() / max(1, total_count.sum())
    shrunk = (total + prior_rows * mean) / np.maximum(total_count + prior_rows, 1)
    similarity = np.where(total_count >= enough, shrunk, np.nan)
    part_similarity = np.stack([mean_of(part.sum(axis=0), count.sum(axis=0)) for part, count in parts])
    return Curve(lags_ms, similarity, part_similarity, num_frames, total_count)


def find_peak(lags_ms: FloatArray, similarity: FloatArray) -> Peak | None:
    """Return the peak of a curve; None where no lag counts.

    The estimate is the top of the parabola through the highest point and its neighbours; it lies within half a hop of
    the highest point.
    """
    valid = np.flatnonzero(np.isfinite(similarity))
    if len(valid) == 0:
        return None
    index = int(valid[np.argmax(similarity[valid])])
    at_edge = index in (valid[0], valid[-1])
    lag_ms, top = float(lags_ms[index]), float(similarity[index])
    if 0 < index < len(lags_ms) - 1:
        left, right = float(similarity[index - 1]), float(similarity[index + 1])
        bend = left - 2 * top + right
        if math.isfinite(bend) and bend < 0:
            shift = 0.5 * (left - right) / bend
            lag_ms += shift * float(lags_ms[index + 1] - lags_ms[index])
            top -= 0.25 * (left - right) * shift
    distances = lags_ms[valid[valid != index]] - lags_ms[index]
    below, above = distances[distances < 0], distances[distances > 0]
    spacing_ms = max(-below.max() if len(below) else 0.0, above.min() if len(above) else 0.0)
    return Peak(index, lag_ms, top, at_edge, float(spacing_ms))


def curve_features(curve: Curve) -> dict[str, float]:
    """Return the features of the curve by name, in the order of `FEATURE_NAMES`; all zero without a peak.

    - peak_z: peak above the median in robust standard deviations (1.4826 MAD), at most 30;
    - margin_z: peak above the best other local maximum farther than 200 ms away, in the same unit;
    - sharpness_z: peak above the curve 120 ms to either side, in the same unit;
    - peak_similarity, contrast: the peak itself, and its height above the median;
    - agreement: share of the parts whose own peak lies within 100 ms of the curve's;
    - log_frames: natural logarithm of the number of frames;
    - strength: contrast times the root of the number of frames with audio at the peak: what chance gives less often the
      more frames agree.
    """
    peak = find_peak(curve.lags_ms, curve.similarity)
    if peak is None:
        return dict.fromkeys(FEATURE_NAMES, 0.0)
    curve = _interpolated(curve)
    finite = curve.similarity[np.isfinite(curve.similarity)]
    median = float(np.median(finite))
    spread = 1.4826 * float(np.median(np.abs(finite - median))) + 1e-6
    height = float(curve.similarity[peak.index])

    def z(difference: float) -> float:
        return float(np.clip(difference / spread, 0.0, MAX_Z))

    values = (
        z(height - median),
        z(height - _best_rival(curve, peak, median)),
        z(height - _shoulder(curve, peak, median)),
        height,
        height - median,
        _agreement(curve, peak),
        math.log(max(1, curve.num_frames)),
        (height - median) * math.sqrt(curve.num_frames if curve.num_rows is None else int(curve.num_rows[peak.index])),
    )
    return dict(zip(FEATURE_NAMES, values, strict=True))


def _interpolated(curve: Curve) -> Curve:
    """Return the curve with the lags that an adaptive search skipped filled in by linear interpolation.

    Without this, the densely sampled lags around a tracked peak would dominate the background that it is compared with.
    """
    known = np.flatnonzero(np.isfinite(curve.similarity))
    if len(known) == known[-1] - known[0] + 1:
        return curve
    inside = slice(known[0], known[-1] + 1)
    similarity = curve.similarity.copy()
    similarity[inside] = np.interp(curve.lags_ms[inside], curve.lags_ms[known], curve.similarity[known])
    return replace(curve, similarity=similarity)


def _best_rival(curve: Curve, peak: Peak, median: float) -> float:
    """Return the highest local maximum beyond `SAME_PEAK_MS`; an end counts if the curve rises towards it."""
    padded = np.concatenate([[-np.inf], np.where(np.isfinite(curve.similarity), curve.similarity, -np.inf), [-np.inf]])
    centre = padded[1:-1]
    maximum = (centre >= padded[:-2]) & (centre >= padded[2:]) & np.isfinite(centre)
    far = np.abs(curve.lags_ms - curve.lags_ms[peak.index]) > SAME_PEAK_MS
    rivals = centre[maximum & far]
    return float(rivals.max()) if len(rivals) else median


def _shoulder(curve: Curve, peak: Peak, median: float) -> float:
    """Return the mean of the curve at `SHOULDER_MS` to either side of the peak."""
    finite = np.isfinite(curve.similarity)
    lags, values = curve.lags_ms[finite], curve.similarity[finite]
    sides = curve.lags_ms[peak.index] + np.array([-SHOULDER_MS, SHOULDER_MS])
    sides = sides[(sides >= lags[0]) & (sides <= lags[-1])]
    return float(np.interp(sides, lags, values).mean()) if len(sides) else median


def _agreement(curve: Curve, peak: Peak) -> float:
    peaks = [find_peak(curve.lags_ms, part) for part in curve.part_similarity]
    near = [part is not None and abs(part.lag_ms - peak.lag_ms) <= AGREEMENT_MS for part in peaks]
    return float(np.mean(near))


def mean_of(total: NDArray[np.floating[Any]], count: NDArray[np.integer[Any]]) -> FloatArray:
    """Return total / count, NaN where the count is zero."""
    mean: FloatArray = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean
