"""Figures of a sync test: shares with intervals over groups, of all clips, by kind and by source, as JSON values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.verdict.records import FACE
from cavsync.evaluate.results.group_intervals import share_of_groups, statistic_of_groups
from cavsync.evaluate.results.reliability import reliability_curve
from cavsync.evaluate.sync.judges import error_ms
from cavsync.evaluate.sync.measure import ClipResult, SyncTrials, Trial
from cavsync.evaluate.sync.report.calibration_error import calibration_error
from cavsync.evaluate.sync.report.source_offsets import corrections_ms, source_medians_ms
from cavsync.evaluate.sync.two_choices import TWO_CHOICE_SHIFTS_MS

ALL_KINDS = "all"
ALL_OFFSETS = "all"
TOLERANCES_MS = (40.0, 100.0, 120.0)
RIGHT_MS = 120.0
# More offsets than this, such as a random one per clip, are reported together only.
MAX_OFFSETS = 12
TrialOf = tuple[ClipResult, Trial, float]


def sync_metrics(result: SyncTrials) -> dict[str, Any]:
    """Return `clips`, `groups`, and for each kind (and "all") the figures of every method.

    `raw` are the figures as measured and `without_source_offsets` those after `corrections_ms`, each by the offset put
    in and over "all" of them (see `trial_figures`); kinds have the latter only. `sources` has each source's number of
    clips and, by method, its `median_ms` with no offset put in and its figures.
    """
    clips = result.clips
    methods = list(clips[0].trials) if clips else []
    corrections = {method: corrections_ms(clips, method) for method in methods}
    kinds = {ALL_KINDS: clips} | _grouped(clips, lambda clip: clip.case.kind)
    medians = {method: source_medians_ms(clips, method) for method in methods}
    sources = {}
    for source, found in _grouped(clips, lambda clip: clip.case.source).items():
        sources[source] = _figures(found, corrections, by_offset=False)
        for method, figures in sources[source]["methods"].items():
            figures["median_ms"] = medians[method][source]
    return {
        "clips": len(clips),
        "groups": num_groups(clips),
        "shifts_ms": list(TWO_CHOICE_SHIFTS_MS),
        "kinds": {name: _figures(found, corrections, by_offset=name == ALL_KINDS) for name, found in kinds.items()},
        "sources": sources,
    }


def num_groups(clips: Sequence[ClipResult]) -> int:
    """Return the number of groups of clips, which the intervals resample."""
    return len({clip.case.group for clip in clips})


def _grouped(clips: Sequence[ClipResult], key: Callable[[ClipResult], str]) -> dict[str, list[ClipResult]]:
    return {name: [clip for clip in clips if key(clip) == name] for name in sorted({key(clip) for clip in clips})}


def _figures(
    clips: Sequence[ClipResult], corrections: Mapping[str, Mapping[str, float]], *, by_offset: bool
) -> dict[str, Any]:
    methods = {
        method: {
            "raw": _by_offset([(clip, t, 0.0) for clip in clips for t in clip.trials[method]], by_offset),
            "without_source_offsets": _by_offset(
                [(clip, t, of_clip[clip.case.name]) for clip in clips for t in clip.trials[method]], by_offset
            ),
        }
        for method, of_clip in corrections.items()
    }
    return {"clips": len(clips), "groups": num_groups(clips), "methods": methods}


def _by_offset(trials: Sequence[TrialOf], by_offset: bool) -> dict[str, Any]:
    offsets = sorted({trial.injected_ms for _, trial, _ in trials})
    found = {ALL_OFFSETS: trial_figures(trials)}
    if by_offset and 1 < len(offsets) <= MAX_OFFSETS:
        for offset in offsets:
            found[f"{offset:+g}" if offset else "0"] = trial_figures(
                [entry for entry in trials if entry[1].injected_ms == offset]
            )
    return found


def trial_figures(trials: Sequence[TrialOf]) -> dict[str, Any]:
    """Return the figures of trials (clip, trial, correction in ms) of one method, with intervals over groups:

    shares `within_40_ms`, `within_100_ms` and `within_120_ms` (a trial without an estimate is a miss),
    `median_error_ms`, `decided`, `right_among_decided` (within 120 ms), `two_choice` by shift,
    `calibration` of the confidences, `no_face`, and `rests_on_face`. Trials without a face count in `no_face` alone.
    """
    no_face = _share(trials, lambda _, trial, __: float(not trial.answer.has_face))
    seen = [entry for entry in trials if entry[1].answer.has_face]

    def is_decided(trial: Trial) -> float:
        return np.nan if trial.answer.decided is None else float(trial.answer.decided)

    def within(limit_ms: float) -> dict[str, Any]:
        return _share(seen, lambda _, trial, correction: float(corrected_error_ms(trial, correction) <= limit_ms))

    def right(_: ClipResult, trial: Trial, correction: float) -> float:
        return float(corrected_error_ms(trial, correction) <= RIGHT_MS)

    errors = np.array([corrected_error_ms(trial, correction) for _, trial, correction in seen])
    median = statistic_of_groups(errors, _groups(seen), lambda values: float(np.median(values)))
    decided = [entry for entry in seen if entry[1].answer.decided]
    return {
        **{f"within_{limit:.0f}_ms": within(limit) for limit in TOLERANCES_MS},
        "median_error_ms": asdict(median),
        "decided": _share(seen, lambda _, trial, __: is_decided(trial)),
        "right_among_decided": _share(decided, right),
        "two_choice": {f"{shift:.0f}": _two_choice(seen, shift) for shift in TWO_CHOICE_SHIFTS_MS},
        "calibration": _calibration(seen),
        "no_face": no_face,
        "rests_on_face": _share(seen, lambda _, trial, __: float(trial.answer.path == FACE)),
    }


def corrected_error_ms(trial: Trial, correction_ms: float = 0.0) -> float:
    """Return the absolute error of a trial without the source's own offset; infinite without an estimate."""
    error = error_ms(trial.answer, trial.offset_ms)
    return float("inf") if np.isnan(error) else abs(error - correction_ms)


def _two_choice(trials: Sequence[TrialOf], shift_ms: float) -> dict[str, Any]:
    def credit(_: ClipResult, trial: Trial, correction: float) -> float:
        return trial.answer.two_choice(trial.offset_ms + correction, shift_ms)

    return _share(trials, credit)


def _share(trials: Sequence[TrialOf], value: Callable[[ClipResult, Trial, float], float]) -> dict[str, Any]:
    """Return the mean of a value that is not NaN over the trials, as JSON values."""
    values = np.array([value(*entry) for entry in trials], dtype=np.float64)
    return asdict(share_of_groups(values, _groups(trials)))


def _groups(trials: Sequence[TrialOf]) -> NDArray[np.str_]:
    return np.array([clip.case.group for clip, _, _ in trials], dtype=np.str_)


def _calibration(trials: Sequence[TrialOf]) -> dict[str, Any] | None:
    """Return the reliability curve and the ECE over all trials with a confidence, decided or not; None without any."""
    known = [entry for entry in trials if entry[1].answer.confidence is not None]
    if not known:
        return None
    confidence = np.array([trial.answer.confidence for _, trial, _ in known], dtype=np.float64)
    right = np.array([float(corrected_error_ms(trial, correction) <= RIGHT_MS) for _, trial, correction in known])
    return {
        "expected_calibration_error": asdict(calibration_error(confidence, right, _groups(known))),
        "tolerance_ms": RIGHT_MS,
        "bins": [asdict(part) for part in reliability_curve(confidence, right)],
    }
