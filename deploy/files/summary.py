"""The verdict on a whole file, from the mean of all its rows, or from its windows where those disagree."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from cavsync.deploy.stream.rows import Row
from cavsync.deploy.stream.scorer import SyncScorer
from cavsync.deploy.verdict.confidence import Evidence, compare_with_limits, judge
from cavsync.deploy.verdict.curve import Curve, FloatArray, curve_of_sums, mean_of
from cavsync.deploy.verdict.records import IN_SYNC, UNDETERMINED, SyncScore, rounded
from cavsync.deploy.verdict.trend import Event

# Windows replace the whole file's curve only if enough are trusted, and give a single offset only if most agree.
MIN_WINDOWS = 3
MIN_WINDOW_SHARE = 0.2
AGREEING_SHARE = 0.7


@dataclass(frozen=True)
class HeatMap:
    """Mean similarity by time and lag: `similarity` (columns, lags), one column per time, NaN without audio."""

    times_seconds: FloatArray
    lags_ms: FloatArray
    similarity: FloatArray


@dataclass(frozen=True)
class FileSummary:
    """Record of a whole file: its `score`, and the fields that only a whole file has.

    The limits are the profile's; NaN where they depend on an unknown frame period. `media`, `bundle` and `versions`
    identify the decoded media, the model and the software.
    """

    source: str
    score: SyncScore
    early_limit_ms: float
    late_limit_ms: float
    duration_seconds: float
    drift_ms_per_minute: float | None
    worst_offset_ms: float | None
    events: list[Event]
    undetermined_share: float
    num_windows: int
    media: dict[str, Any]
    bundle: dict[str, Any]
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as a JSON object, rounded."""
        own = {item.name: rounded(item.name, getattr(self, item.name)) for item in fields(self)}
        own["events"] = [event.to_dict() for event in self.events]
        own["media"] = {name: rounded("similarity", value) for name, value in self.media.items()}
        del own["source"], own["score"]
        return {"kind": "summary", "source": self.source, **self.score.to_dict(), **own}


class WholeFile:
    """Sums of a file's rows in blocks of `block_seconds`, about 1 kB per block and a few numbers per row."""

    def __init__(self, lags_ms: FloatArray, block_seconds: float) -> None:
        self._lags_ms = lags_ms
        self._block_seconds = block_seconds
        self._starts: list[float] = []
        self._sums: list[FloatArray] = []
        self._counts: list[Any] = []
        self._facts = tuple(array("d") for _ in range(3))
        self._strides = 0

    def add(self, row: Row) -> None:
        """Add the next row."""
        begun = self._starts[-1] if self._starts else math.inf
        if not begun <= row.time_seconds < begun + self._block_seconds:
            self._starts.append(row.time_seconds)
            self._sums.append(np.zeros(len(self._lags_ms)))
            self._counts.append(np.zeros(len(self._lags_ms), dtype=np.int64))
        self._sums[-1] += np.nan_to_num(row.similarity, nan=0.0)
        self._counts[-1] += np.isfinite(row.similarity)
        self._strides += row.stride
        for facts, value in zip(self._facts, (row.motion, row.level_dbfs, row.period_seconds), strict=True):
            facts.append(value)

    @property
    def mean_stride(self) -> float:
        """Mean stride of the search: one of this many due frames was scored."""
        return self._strides / max(1, len(self._facts[0]))

    def curve(self) -> Curve:
        """Return the curve of all rows."""
        return curve_of_sums(self._lags_ms, np.array(self._sums), np.array(self._counts), len(self._facts[0]))

    def evidence(self) -> Evidence:
        """Return motion, level and frame period of all rows."""
        return Evidence(*(np.array(facts, dtype=np.float64) for facts in self._facts))

    def heat_map(self) -> HeatMap:
        """Return the heat map, with one column per block."""
        return HeatMap(np.array(self._starts), self._lags_ms, mean_of(np.array(self._sums), np.array(self._counts)))


def summarise(
    whole: WholeFile, records: Sequence[SyncScore], scorer: SyncScorer, *, end_seconds: float, duration_seconds: float
) -> SyncScore:
    """Judge the file by the curve of all its rows, or by its trusted windows where they contradict that curve.

    An offset that drifts or jumps smears the curve of the whole file, whose peak would then be a confident but wrong
    constant. The score of a varying offset has the median, the state of most windows, and no suggested delay.
    """
    evidence, calibration = whole.evidence(), scorer.bundle.manifest.calibration
    resolution_floor_ms = scorer.resolution_floor_ms(whole.mean_stride)
    overall = judge(
        whole.curve(),
        evidence,
        calibration,
        scorer.profile,
        time_seconds=end_seconds,
        window_seconds=duration_seconds,
        resolution_floor_ms=resolution_floor_ms,
    )
    measured = [record for record in records if record.is_measured]
    if calibration is None or len(measured) < max(MIN_WINDOWS, MIN_WINDOW_SHARE * len(records)):
        return overall
    offsets = np.array([record.audio_offset_ms for record in measured], dtype=np.float64)
    median_ms = float(np.median(offsets))
    tolerance_ms = max(calibration.tolerance_ms, 2 * calibration.resolution_ms)
    agreeing = float(np.mean(np.abs(offsets - median_ms) <= tolerance_ms))
    is_varying = agreeing < AGREEING_SHARE
    offset_ms = overall.audio_offset_ms
    if is_varying:
        state, reason = _majority([record.state for record in measured]), _varying(offsets)
    elif overall.is_measured and offset_ms is not None and abs(offset_ms - median_ms) <= tolerance_ms:
        return overall
    else:
        resolution_ms = max(calibration.resolution_ms, resolution_floor_ms)
        state, limit = compare_with_limits(median_ms, resolution_ms, scorer.profile, evidence.frame_period_seconds)
        reason = limit or f"the median of the {len(measured)} of {len(records)} windows that could be measured"
    return replace(
        overall,
        audio_offset_ms=median_ms,
        suggested_audio_delay_ms=None if is_varying else median_ms,
        confidence=agreeing * float(np.median([record.confidence for record in measured if record.confidence])),
        state=state,
        within_profile=None if state == UNDETERMINED else state == IN_SYNC,
        reason=reason,
        is_measured=not is_varying,
        is_varying=is_varying,
    )


def _majority(states: list[str]) -> str:
    """Return the state of more than half of the windows, else `undetermined`."""
    state = max(sorted(set(states)), key=states.count)
    return state if 2 * states.count(state) > len(states) else UNDETERMINED


def _varying(offsets: FloatArray) -> str:
    low, high = np.percentile(offsets, [5, 95])
    return (
        f"the offset varies from {low:+.0f} to {high:+.0f} ms over the file, so no single delay repairs it: "
        f"the offset given is the median of its {len(offsets)} measured windows"
    )
