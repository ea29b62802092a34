"""Figures of a sync test: shares with intervals, over all clips and by their kind and source, as JSON values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.evaluate.results.intervals import share_of_clips, statistic_over_clips
from cavsync.evaluate.results.reliability import expected_calibration_error, reliability_curve
from cavsync.evaluate.sync.measure import (
    TOLERANCES_MS,
    TWO_CHOICE_SHIFTS_MS,
    Answers,
    ClipResult,
    OffsetTrial,
    SyncTrials,
)

ALL_KINDS = "all"
ClipAnswers = Sequence[tuple[ClipResult, Answers]]


def sync_metrics(result: SyncTrials) -> dict[str, Any]:
    """Return `clips`, `rejects`, and for each kind (and "all") and each source the figures of every method:

    the shares `within_one_frame`, `within_100_ms` and `within_200_ms` of the injected offsets, `median_error_ms` and
    `p90_error_ms`, the shares `decided` and `undetermined`, `decided_within_100_ms` among the decided, `two_choice` by
    shift, `classes`, and the `calibration` of the confidence.
    """
    methods = list(result.clips[0].methods) if result.clips else []

    def figures(groups: dict[str, list[ClipResult]]) -> dict[str, Any]:
        return {
            name: {"clips": len(clips), "methods": {method: _method_figures(clips, method) for method in methods}}
            for name, clips in groups.items()
        }

    return {
        "clips": len(result.clips),
        "rejects": result.rejects,
        "shifts_ms": list(TWO_CHOICE_SHIFTS_MS),
        "kinds": figures({ALL_KINDS: result.clips} | _grouped(result.clips, lambda clip: clip.kind)),
        "sources": figures(_grouped([clip for clip in result.clips if clip.source], lambda clip: clip.source)),
    }


def _grouped(clips: Sequence[ClipResult], key: Callable[[ClipResult], str]) -> dict[str, list[ClipResult]]:
    return {name: [clip for clip in clips if key(clip) == name] for name in sorted({key(clip) for clip in clips})}


def _method_figures(clips: Sequence[ClipResult], name: str) -> dict[str, Any]:
    answers = [(clip, clip.methods[name]) for clip in clips]
    deciding = [(clip, found) for clip, found in answers if found.can_decide]
    decided = [(clip, found) for clip, found in answers if any(trial.decided for trial in found.trials)]
    errors = [np.array([trial.error_ms for trial in found.trials]) for _, found in answers]
    median, p90 = (statistic_over_clips(errors, partial(_percentile, percent=percent)) for percent in (50, 90))
    return {
        "within_one_frame": _share(answers, lambda clip, trial: trial.error_ms <= clip.frame_ms),
        **{f"within_{limit:.0f}_ms": _within(answers, limit) for limit in TOLERANCES_MS},
        "median_error_ms": None if median.mean is None else round(median.mean, 1),
        "median_error_interval_ms": [median.low, median.high],
        "p90_error_ms": None if p90.mean is None else round(p90.mean, 1),
        "p90_error_interval_ms": [p90.low, p90.high],
        "decided": _share(deciding, lambda _, trial: trial.decided),
        "undetermined": _share(deciding, lambda _, trial: not trial.decided),
        "decided_within_100_ms": asdict(
            share_of_clips(
                [
                    float(np.mean([trial.error_ms <= TOLERANCES_MS[0] for trial in found.trials if trial.decided]))
                    for _, found in decided
                ]
            )
        ),
        "two_choice": {
            f"{shift:.0f}": asdict(share_of_clips([found.two_choice[shift] for _, found in answers]))
            for shift in TWO_CHOICE_SHIFTS_MS
        },
        "classes": _classes(answers),
        "calibration": _calibration(answers),
    }


def _percentile(errors_ms: NDArray[np.float64], percent: float) -> float:
    """Return a percentile without interpolation, because errors may be infinite."""
    return float(np.percentile(errors_ms, percent, method="higher"))


def _within(answers: ClipAnswers, limit_ms: float) -> dict[str, Any]:
    return _share(answers, lambda _, trial: trial.error_ms <= limit_ms)


def _share(answers: ClipAnswers, is_right: Callable[[ClipResult, OffsetTrial], bool]) -> dict[str, Any]:
    return asdict(
        share_of_clips([float(np.mean([is_right(clip, trial) for trial in found.trials])) for clip, found in answers])
    )


def _classes(answers: ClipAnswers) -> dict[str, Any]:
    """Return the accuracy, and that within one class, of the trials for which the clip is long enough for all
    methods."""
    shared = [[t for t in found.classes if t.true_class in _classes_of_all(clip)] for clip, found in answers]
    tested = [trials for trials in shared if trials]
    return {
        f"{name}": asdict(share_of_clips([float(np.mean([t.steps_off <= steps for t in trials])) for trials in tested]))
        for name, steps in (("accuracy", 0), ("accuracy_within_1", 1))
    }


def _classes_of_all(clip: ClipResult) -> set[int]:
    return set.intersection(*({trial.true_class for trial in found.classes} for found in clip.methods.values()))


def _calibration(answers: ClipAnswers) -> dict[str, Any] | None:
    """Return the reliability curve and its expected error over all trials with a confidence; None if there is none."""
    clips = [_confidences(found) for _, found in answers]
    rows = np.concatenate(clips) if clips else np.empty((0, 2))
    if not len(rows):
        return None

    def error(pairs: NDArray[np.float64]) -> float:
        found = expected_calibration_error(reliability_curve(pairs[:, 0], pairs[:, 1]))
        return float("nan") if found is None else found

    return {
        "expected_calibration_error": asdict(statistic_over_clips(clips, error)),
        "tolerance_ms": answers[0][1].confidence_tolerance_ms,
        "bins": [asdict(part) for part in reliability_curve(rows[:, 0], rows[:, 1])],
    }


def _confidences(found: Answers) -> NDArray[np.float64]:
    """Return (n, 2): the confidence of each trial that has one, and whether its error is within the tolerance of the
    calibration."""
    limit_ms = found.confidence_tolerance_ms
    if limit_ms is None:
        return np.empty((0, 2))
    pairs = [(t.confidence, float(t.error_ms <= limit_ms)) for t in found.trials if t.confidence is not None]
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)
