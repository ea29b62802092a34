"""The methods under test: each scores a media file as a user would."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy import Bundle, score_file
from cavsync.deploy.stream.options import ScoringOptions
from cavsync.evaluate.sync.baseline_inputs import read_baseline_inputs
from cavsync.evaluate.sync.motion_baseline import REAL_CLIPS_ZERO_POINT_MS, motion_curves
from cavsync.evaluate.sync.paths import lacks_face, paths_to_test, zero_point_ms
from cavsync.evaluate.sync.two_choices import two_choice_credit
from cavsync.media.align import SAMPLE_RATE_HZ

BASELINES = ("motion against loudness", "motion against its rise")
BASELINE_RANGE_MS = 1000.0

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Answer:
    """One method's answer to one file.

    `estimate_ms` is the best match (> 0: the audio is early), None without evidence; `decided`: whether the verdict
    trusts it, None for a method that has no verdict; `confidence`: the calibrated probability that it is right; `path`:
    what the verdict rests on; `has_face`: False where the face path was asked and found no face. The curve `similarity`
    (n,) over `lags_ms` (n,) has the offset 0 at the lag `-zero_point_ms`.
    """

    estimate_ms: float | None
    decided: bool | None = None
    confidence: float | None = None
    path: str = ""
    has_face: bool = True
    lags_ms: FloatArray = field(default_factory=lambda: np.empty(0), repr=False, compare=False)
    similarity: FloatArray = field(default_factory=lambda: np.empty(0), repr=False, compare=False)
    zero_point_ms: float = 0.0

    def two_choice(self, offset_ms: float, shift_ms: float) -> float:
        """Return the share of right choices for a file whose offset is `offset_ms`; NaN where the curve is unknown."""
        return two_choice_credit(self.lags_ms, self.similarity, -offset_ms - self.zero_point_ms, shift_ms)


Judge = Callable[[Path, bool], dict[str, Answer]]
"""Judges a file, generated or not, and returns its answer by the name of the method. Raises MediaError."""


def bundle_judges(
    bundles: dict[str, Bundle], paths: Sequence[str] = (), window_seconds: float | None = None
) -> list[Judge]:
    """Return a judge per bundle (by name) and path: the `paths` that the bundle has, by default all."""
    judges: list[Judge] = []
    for name, bundle in bundles.items():
        tested = paths_to_test(bundle.manifest, paths)
        for path in tested:
            method = name if bundle.manifest.faces is None else f"{name}, {path}"
            options = ScoringOptions(path=path, window_seconds=window_seconds)
            judges.append(partial(_score, method, bundle, options))
    return judges


def _score(method: str, bundle: Bundle, options: ScoringOptions, file: Path, _generated: bool) -> dict[str, Answer]:
    score = score_file(file, bundle, options)
    verdict = score.summary.score
    found = Answer(
        verdict.audio_offset_ms,
        verdict.is_measured,
        verdict.confidence,
        verdict.path,
        # A verdict from the windows counts, even where faces fill too little of the file for a curve.
        verdict.is_measured or not lacks_face(score, options.path),
        np.empty(0) if verdict.curve is None else verdict.curve.lags_ms,
        np.empty(0) if verdict.curve is None else verdict.curve.similarity,
        zero_point_ms(bundle.manifest, verdict.path),
    )
    return {method: found}


def judge_by_motion(file: Path, generated: bool) -> dict[str, Answer]:
    """Judge a file by both baselines without learning. Raises MediaError for a file that cannot be read."""
    frames, times, samples = read_baseline_inputs(file)
    lags_ms, *curves = motion_curves(frames, times, samples, SAMPLE_RATE_HZ, BASELINE_RANGE_MS)
    zero_ms = 0.0 if generated else -REAL_CLIPS_ZERO_POINT_MS
    answers = {}
    for name, curve in zip(BASELINES, curves, strict=True):
        known = np.flatnonzero(np.isfinite(curve))
        best_ms = float(-lags_ms[known[np.argmax(curve[known])]] - zero_ms) if len(known) else None
        answers[name] = Answer(best_ms, lags_ms=lags_ms, similarity=curve, zero_point_ms=zero_ms)
    return answers


def error_ms(answer: Answer, offset_ms: float) -> float:
    """Return the signed error of an answer to a file with this offset; NaN without an estimate."""
    return math.nan if answer.estimate_ms is None else answer.estimate_ms - offset_ms
