"""The 21-class protocol of SparseSync and Synchformer: offsets of -2.0, -1.8 ... +2.0 s as classes.

A class is the injected offset; the answer is the class nearest to the highest similarity within ±2.1 s. Only frames
that have audio at every lag of the search count, so that the amount of audio does not reveal the offset.
Source: arXiv 2210.07055 and 2401.16423.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy import Bundle
from cavsync.deploy.stream.rows import Row, evidence_of
from cavsync.deploy.verdict.confidence import lack_of_evidence
from cavsync.deploy.verdict.curve import curve_of_rows, find_peak
from cavsync.evaluate.sync.clip_rows import ClipRows

NUM_CLASSES = 21
CLASS_STEP_MS = 200.0
MAX_CLASS_OFFSET_MS = (NUM_CLASSES - 1) / 2 * CLASS_STEP_MS
# Half a step beyond the last class.
SEARCH_MS = MAX_CLASS_OFFSET_MS + CLASS_STEP_MS / 2
CLASS_REACH_MS = MAX_CLASS_OFFSET_MS + SEARCH_MS
MIN_SECONDS = 1.0


@dataclass(frozen=True)
class ClassTrial:
    """The injected class and the answered one, None without enough evidence."""

    true_class: int
    answered_class: int | None

    @property
    def steps_off(self) -> float:
        """Distance of the two in classes, infinite without an answer."""
        return float("inf") if self.answered_class is None else abs(self.answered_class - self.true_class)


def class_offset_ms(number: int) -> float:
    """Return the audio offset of class 0 .. 20 (> 0: the audio is early)."""
    return number * CLASS_STEP_MS - MAX_CLASS_OFFSET_MS


def nearest_class(offset_ms: float) -> int:
    """Return the class nearest to an offset."""
    return int(np.clip(round((offset_ms + MAX_CLASS_OFFSET_MS) / CLASS_STEP_MS), 0, NUM_CLASSES - 1))


def class_trials(bundle: Bundle, clip: ClipRows, classes: Sequence[int]) -> tuple[ClassTrial, ...]:
    """Run a trial per class, except for classes that the clip is too short for. `clip` must cover ±CLASS_REACH_MS."""
    trials = []
    for number in classes:
        found = answered_class(bundle, clip.rows, clip.lags_ms, clip.true_lag_ms + class_offset_ms(number))
        if found is not None:
            trials.append(ClassTrial(number, found.number))
    return tuple(trials)


@dataclass(frozen=True)
class ClassAnswer:
    """The answered class, None without enough evidence."""

    number: int | None


def answered_class(
    bundle: Bundle, rows: Sequence[Row], lags_ms: NDArray[np.float64], around_lag_ms: float
) -> ClassAnswer | None:
    """Search ±SEARCH_MS around a lag for the rows' best class, as an offset from that lag.

    None where fewer than MIN_SECONDS of the rows have audio at every lag.
    """
    sync = bundle.manifest.sync
    reach = int(SEARCH_MS / sync.hop_ms + 1e-9)
    zero_ms = bundle.manifest.calibration.zero_point_ms if bundle.manifest.calibration else 0.0
    centre = int(np.argmin(np.abs(lags_ms - around_lag_ms)))
    searched = slice(centre - reach, centre + reach + 1)
    used = [row for row in rows if np.isfinite(row.similarity[searched]).all()]
    if not sum(row.period_seconds for row in used) >= MIN_SECONDS:
        return None
    nearby_ms = lags_ms[searched] - lags_ms[centre]
    curve = curve_of_rows(nearby_ms, np.stack([row.similarity[searched] for row in used]))
    peak = find_peak(nearby_ms, curve.similarity)
    if peak is None or lack_of_evidence(curve, evidence_of(used)) is not None:
        return ClassAnswer(None)
    # The lag asked for may lie off the grid by part of a hop.
    off_grid_ms = float(lags_ms[centre]) - around_lag_ms
    return ClassAnswer(nearest_class(-peak.lag_ms - zero_ms - off_grid_ms))


def curve_class_trials(
    lags_ms: NDArray[np.float64], curve: NDArray[np.float64], zero_ms: float, classes: Sequence[int]
) -> tuple[ClassTrial, ...]:
    """Do the same for a method with one curve over ±CLASS_REACH_MS around `zero_ms`, NaN at lags that it cannot
    judge."""
    trials = []
    for number in classes:
        centre_ms = zero_ms + class_offset_ms(number)
        inside = np.abs(lags_ms - centre_ms) <= SEARCH_MS
        if not np.isfinite(curve[inside]).all():
            continue
        best_ms = float(lags_ms[inside][np.argmax(curve[inside])])
        trials.append(ClassTrial(number, nearest_class(centre_ms - best_ms)))
    return tuple(trials)
