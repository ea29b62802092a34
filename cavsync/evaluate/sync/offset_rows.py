"""Scores of clips compared with their known offsets, with the estimates of the motion baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from cavsync.deploy import FileScore
from cavsync.errors import MediaError
from cavsync.evaluate.sync.baseline_inputs import read_baseline_inputs
from cavsync.evaluate.sync.motion_baseline import estimate_offset_ms
from cavsync.media.align import SAMPLE_RATE_HZ

TOLERANCE_MS = 120.0
UNDETERMINED = "undetermined"


@dataclass(frozen=True)
class OffsetRow:
    """One clip: the true offset, the estimate, and whether its error is within the tolerance.

    A clip whose offset is not trusted (`is_measured`) is a miss, however small its error; one whose offset is trusted,
    but too close to a limit for a decision about it, is not. `baseline_rise_ms` and `baseline_energy_ms` are the
    estimates of motion energy against the rise of the loudness and against the loudness; None if undefined.
    """

    file: str
    family: str
    true_offset_ms: float
    estimated_offset_ms: float | None
    error_ms: float | None
    state: str
    is_measured: bool
    confidence: float | None
    within_120_ms: bool
    baseline_rise_ms: float | None
    baseline_energy_ms: float | None


def offset_row(path: Path, truth: dict[str, Any], score: FileScore | None) -> OffsetRow:
    """Return the row of one clip; a score of None, for a clip that could not be scored, is a miss.

    truth: the clip's record of truth.jsonl.
    """
    true_ms = float(truth["audio_offset_ms"])
    record = None if score is None else score.summary.score
    estimate_ms = None if record is None else record.audio_offset_ms
    state = UNDETERMINED if record is None else record.state
    is_measured = record is not None and record.is_measured
    error_ms = None if estimate_ms is None else estimate_ms - true_ms
    rise_ms, energy_ms = baseline_offsets_ms(path)
    return OffsetRow(
        file=path.name,
        family=str(truth.get("family", "")),
        true_offset_ms=true_ms,
        estimated_offset_ms=None if estimate_ms is None else round(estimate_ms, 1),
        error_ms=None if error_ms is None else round(error_ms, 1),
        state=state,
        is_measured=is_measured,
        confidence=None if record is None or record.confidence is None else round(record.confidence, 4),
        within_120_ms=is_measured and error_ms is not None and abs(error_ms) <= TOLERANCE_MS,
        baseline_rise_ms=rise_ms,
        baseline_energy_ms=energy_ms,
    )


def summarise(rows: Sequence[OffsetRow]) -> dict[str, Any]:
    """Return `n`, the share decided and within 120 ms, `median_error_ms` of the clips with an estimate, the share
    `undetermined`, whose offset is not trusted, the baselines' shares, shares by family, and the `rows`."""
    errors = [abs(row.error_ms) for row in rows if row.error_ms is not None]
    families = sorted({row.family for row in rows})
    return {
        "n": len(rows),
        "within_120_ms": _share([row.within_120_ms for row in rows]),
        "median_error_ms": round(median(errors), 1) if errors else None,
        "undetermined": _share([not row.is_measured for row in rows]),
        "baseline_within_120_ms": {
            "motion_against_rise": _share([_near(row.baseline_rise_ms, row) for row in rows]),
            "motion_against_loudness": _share([_near(row.baseline_energy_ms, row) for row in rows]),
        },
        "within_120_ms_by_family": {
            family: _share([row.within_120_ms for row in rows if row.family == family]) for family in families
        },
        "rows": [asdict(row) for row in rows],
    }


def baseline_offsets_ms(path: Path, max_offset_ms: float = 1000.0) -> tuple[float | None, float | None]:
    """Return the motion baseline's estimates for a file: (against the rise of the loudness, against the loudness), None
    if undefined."""
    frames, times, samples = read_baseline_inputs(path)
    try:
        found = estimate_offset_ms(frames, times, samples, SAMPLE_RATE_HZ, max_offset_ms)
    except MediaError:
        return None, None
    return round(found.rise.audio_offset_ms, 1), round(found.energy.audio_offset_ms, 1)


def _near(estimate_ms: float | None, row: OffsetRow) -> bool:
    return estimate_ms is not None and abs(estimate_ms - row.true_offset_ms) <= TOLERANCE_MS


def _share(flags: Sequence[bool]) -> float:
    return round(sum(flags) / len(flags), 4) if flags else 0.0
