"""Sync tests of a bundle: injected offsets, the two-choice test, and 21 classes of offsets.

Injected offsets: each clip is scored with its audio shifted by random amounts; an estimate within one frame, or within
100 ms, counts as right. Two-choice (as in Synchformer's AV-SyncBench): of a clip and the same clip with its audio
shifted, the one with the higher similarity at lag 0 is chosen as in sync; shifts in both directions count. Classes: see
`offset_classes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy import Bundle
from cavsync.deploy.stream.scorer import evidence_of
from cavsync.deploy.verdict.confidence import judge
from cavsync.deploy.verdict.curve import MIN_ROWS, curve_of_rows
from cavsync.deploy.verdict.profiles import DEFAULT_PROFILE, resolve_profile
from cavsync.errors import MediaError
from cavsync.evaluate.sync.baseline_inputs import read_baseline_inputs
from cavsync.evaluate.sync.cases import SyncCase
from cavsync.evaluate.sync.clip_rows import ClipRows, embed_clip, with_hop
from cavsync.evaluate.sync.motion_baseline import REAL_CLIPS_ZERO_POINT_MS, motion_curves
from cavsync.evaluate.sync.offset_classes import CLASS_REACH_MS, ClassTrial, class_trials, curve_class_trials
from cavsync.evaluate.sync.plan import SyncPlan, plan_of
from cavsync.media.align import SAMPLE_RATE_HZ

TWO_CHOICE_SHIFTS_MS = (50.0, 100.0, 200.0, 300.0, 500.0)
TWO_CHOICE_HOP_MS = 10.0
TOLERANCES_MS = (100.0, 200.0)
DEFAULT_FRAME_MS = 40.0
BASELINES = ("motion against loudness", "motion against its rise")
BASELINE_RANGE_MS = 1000.0

FloatArray = NDArray[np.float64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class OffsetTrial:
    """One injected offset and its estimate, None if there is none; `decided`: whether the scorer would report it;
    `confidence`: the calibrated probability that it is right."""

    offset_ms: float
    estimate_ms: float | None
    decided: bool = False
    confidence: float | None = None

    @property
    def error_ms(self) -> float:
        """Absolute error, infinite without an estimate."""
        return float("inf") if self.estimate_ms is None else abs(self.estimate_ms - self.offset_ms)


@dataclass(frozen=True)
class Answers:
    """The answers of one method on one clip: its offset trials, the share of right choices (0, ½ or 1) by shift, and
    its class trials, without the classes that the clip is too short for.

    can_decide: whether the method may answer "undetermined". confidence_tolerance_ms: the largest error that a
    confidence counts as right.
    """

    trials: tuple[OffsetTrial, ...]
    two_choice: dict[float, float]
    classes: tuple[ClassTrial, ...] = ()
    can_decide: bool = False
    confidence_tolerance_ms: float | None = None


@dataclass(frozen=True)
class ClipResult:
    """One clip: the answers of every method, and the duration of its frames."""

    name: str
    kind: str
    source: str
    frame_ms: float
    methods: dict[str, Answers]


@dataclass
class SyncTrials:
    """The results of all clips that could be tested. rejects: clip -> why it was left out."""

    clips: list[ClipResult] = field(default_factory=list)
    rejects: dict[str, str] = field(default_factory=dict)


def evaluate_sync(
    bundles: dict[str, Bundle],
    cases: Sequence[SyncCase],
    *,
    offsets_per_clip: int = 3,
    max_offset_ms: float = 800.0,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> SyncTrials:
    """Test bundles (by name) and the motion baselines; `progress(done, total)` is called after each clip.

    Each clip gets `offsets_per_clip` offsets, uniform in ±max_offset_ms, and as many classes, unless its case fixes
    them; every method gets the same ones.
    """
    result = SyncTrials()
    for number, case in enumerate(cases):
        plan = plan_of(case, offsets_per_clip=offsets_per_clip, max_offset_ms=max_offset_ms, seed=seed)
        try:
            answers = {name: _bundle_answers(bundle, case, plan) for name, bundle in bundles.items()}
            frame_ms, baselines = _all_baseline_answers(case, plan)
        except MediaError as error:
            result.rejects[str(case.path)] = str(error)
        else:
            result.clips.append(ClipResult(case.path.name, case.kind, case.source, frame_ms, answers | baselines))
        progress(number + 1, len(cases))
    return result


def _bundle_answers(bundle: Bundle, case: SyncCase, plan: SyncPlan) -> Answers:
    sync, calibration = bundle.manifest.sync, bundle.manifest.calibration
    farthest_ms = max(sync.max_offset_ms + max(map(abs, plan.offsets_ms)), CLASS_REACH_MS)
    embed = partial(embed_clip, path=case.path, true_offset_ms=case.true_offset_ms)
    wide = embed(
        bundle,
        max_lag_ms=farthest_ms + sync.hop_ms + abs(case.true_offset_ms),
        audio_shift_ms=plan.grid_shift * sync.hop_ms,
    )
    trials = tuple(_trial(bundle, wide, offset_ms) for offset_ms in plan.offsets_ms)
    fine_ms = TWO_CHOICE_SHIFTS_MS[-1] + TWO_CHOICE_HOP_MS + abs(case.true_offset_ms)
    fine = embed(with_hop(bundle, TWO_CHOICE_HOP_MS), max_lag_ms=fine_ms)
    similarity = np.stack([row.similarity for row in fine.rows])
    zero_ms = calibration.zero_point_ms if calibration else 0.0
    choices = {
        shift: _mean(
            _credit(*_two_means(similarity, fine.lags_ms, fine.true_lag_ms - zero_ms, sign * shift)) for sign in (-1, 1)
        )
        for shift in TWO_CHOICE_SHIFTS_MS
    }
    classes = class_trials(bundle, wide, plan.classes)
    return Answers(trials, choices, classes, True, calibration.tolerance_ms if calibration else None)


def _trial(bundle: Bundle, clip: ClipRows, offset_ms: float) -> OffsetTrial:
    """Score the part of the wide range that a search would cover with the offset injected.

    The offset is rounded to the grid of lags; the clip's random shift by a part of a hop keeps the truth off the grid.
    """
    sync = bundle.manifest.sync
    reach = int(sync.max_offset_ms / sync.hop_ms + 1e-9)
    # Audio that is early by x matches the frame x earlier, so the search is centred on the true lag + x.
    centre = int(np.argmin(np.abs(clip.lags_ms - (clip.true_lag_ms + offset_ms))))
    part = slice(centre - reach, centre + reach + 1)
    lags_ms = clip.lags_ms[part] - clip.lags_ms[centre]
    true_offset_ms = float(clip.lags_ms[centre] - clip.true_lag_ms)
    score = judge(
        curve_of_rows(lags_ms, np.stack([row.similarity for row in clip.rows])[:, part]),
        evidence_of(clip.rows),
        bundle.manifest.calibration,
        resolve_profile(DEFAULT_PROFILE, None, None),
        time_seconds=clip.rows[-1].time_seconds,
        window_seconds=clip.rows[-1].time_seconds - clip.rows[0].time_seconds,
    )
    return OffsetTrial(true_offset_ms, score.audio_offset_ms, score.is_measured, score.confidence)


def _two_means(similarity: FloatArray, lags_ms: FloatArray, zero_ms: float, shift_ms: float) -> tuple[float, float]:
    """Return the mean similarity in sync and shifted, over the rows that have audio at both lags; NaN for too few."""
    in_sync, shifted = (
        similarity[:, int(np.argmin(np.abs(lags_ms - lag_ms)))] for lag_ms in (zero_ms, zero_ms + shift_ms)
    )
    both = np.isfinite(in_sync) & np.isfinite(shifted)
    if both.sum() < MIN_ROWS:
        return np.nan, np.nan
    return float(in_sync[both].mean()), float(shifted[both].mean())


def _credit(in_sync: float, shifted: float) -> float:
    """Return 1 for the right choice, 0 for the wrong one, ½ if the two are equal or unknown."""
    return 0.5 if not (in_sync > shifted or in_sync < shifted) else float(in_sync > shifted)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _all_baseline_answers(case: SyncCase, plan: SyncPlan) -> tuple[float, dict[str, Answers]]:
    """Return the clip's frame period in ms, and the answers of both baselines."""
    frames, times, samples = read_baseline_inputs(case.path)
    frame_ms = float(np.median(np.diff(times)) * 1000) if len(times) > 1 else DEFAULT_FRAME_MS
    farthest_ms = max(BASELINE_RANGE_MS + max(map(abs, plan.offsets_ms)), CLASS_REACH_MS)
    max_lag_ms = farthest_ms + abs(case.true_offset_ms) + REAL_CLIPS_ZERO_POINT_MS
    lags_ms, *curves = motion_curves(frames, times, samples, SAMPLE_RATE_HZ, max_lag_ms)
    zero_ms = (0.0 if case.generated else REAL_CLIPS_ZERO_POINT_MS) - case.true_offset_ms
    return frame_ms, {
        name: _baseline_answers(lags_ms, curve, zero_ms, plan) for name, curve in zip(BASELINES, curves, strict=True)
    }


def _baseline_answers(lags_ms: FloatArray, curve: FloatArray, zero_ms: float, plan: SyncPlan) -> Answers:
    trials = []
    for offset_ms in plan.offsets_ms:
        # The lag of the highest correlation, relative to the shifted audio's lag 0, on which the search is centred.
        inside = np.abs(lags_ms - zero_ms - offset_ms) <= BASELINE_RANGE_MS
        known = inside & np.isfinite(curve)
        best = None if not known.any() else float(zero_ms + offset_ms - lags_ms[known][np.argmax(curve[known])])
        trials.append(OffsetTrial(offset_ms, best))
    choices = {
        shift: _mean(
            _credit(*_two_means(curve[None].repeat(MIN_ROWS, axis=0), lags_ms, zero_ms, sign * shift))
            for sign in (-1, 1)
        )
        for shift in TWO_CHOICE_SHIFTS_MS
    }
    return Answers(tuple(trials), choices, curve_class_trials(lags_ms, curve, zero_ms, plan.classes))
