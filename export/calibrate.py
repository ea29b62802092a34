"""How far a peak can be trusted: a logistic regression on held-out clips, stored in the bundle.

A clip is embedded once, over a range of lags wider than the search range. Looking at a part of that range that is moved
by some hops is then the same as scoring the clip with its sound shifted, also by more than the search range, where no
peak is right.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from cavsync.data.synth import read_truth
from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.curve import curve_features, curve_of_rows, find_peak
from cavsync.deploy.rows import Row
from cavsync.errors import CavsyncError
from cavsync.manifest import Calibration
from cavsync.media import MediaReader, VideoFrame

log = logging.getLogger(__name__)

FloatArray = NDArray[np.float64]

# These rise with how clear a peak is, whatever the model's typical similarity; their weights may not be negative.
FEATURES = ("peak_z", "margin_z", "sharpness_z", "agreement", "log_frames")
TOLERANCE_MS = 120.0
MIN_CLIPS = 4
MAX_CLIPS = 24
MAX_CLIP_SECONDS = 30.0
SHIFTS_IN_RANGE = 3
SHIFTS_OUT_OF_RANGE = 1
RANGE_SHARE = 0.9
WANTED_PRECISION = 0.9
THRESHOLDS = (0.5, 0.95)
RIDGE = 1e-2
FOLDS = 5
MIN_RESOLUTION_MS = 5.0


@dataclass(frozen=True)
class ClipRows:
    """A clip's rows of similarities (n, wide lags), their times, and the lag at which its sound truly lies."""

    name: str
    rows: FloatArray
    times_seconds: FloatArray
    lags_ms: FloatArray
    true_lag_ms: float


@dataclass(frozen=True)
class Examples:
    """Windows with their features (n, F), signed errors in ms (NaN where no peak can be right) and clip numbers."""

    features: FloatArray
    errors_ms: FloatArray
    clips: NDArray[np.int64]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the peak lies within the tolerance of the truth."""
        return np.abs(np.nan_to_num(self.errors_ms, nan=np.inf)) <= TOLERANCE_MS


def calibrate(
    bundle: Bundle,
    clips: Sequence[Path],
    *,
    seed: int = 0,
    source: str = "held-out clips",
    progress: Callable[[int, int], None] | None = None,
) -> Calibration | None:
    """Fit the calibration of a bundle on clips that its model never saw; None where they do not suffice.

    Clips with a truth.jsonl beside them have the offset that it states, others are taken to be in sync.
    """
    chosen = list(clips)[:MAX_CLIPS]
    loaded: list[ClipRows] = []
    for number, path in enumerate(chosen, start=1):
        rows = _embed(bundle, path)
        if rows is not None:
            loaded.append(rows)
        if progress is not None:
            progress(number, len(chosen))
    if len(loaded) < MIN_CLIPS:
        log.warning("%d usable clips are too few to calibrate with, %d are needed", len(loaded), MIN_CLIPS)
        return None
    examples = collect(loaded, bundle, np.random.default_rng(seed))
    if not examples.right.any() or examples.right.all():
        log.warning("all %d calibration windows are right, or all are wrong: nothing to fit", len(examples.right))
        return None
    return fit(examples, num_clips=len(loaded), source=source)


def collect(clips: Sequence[ClipRows], bundle: Bundle, random: np.random.Generator) -> Examples:
    """Windows of every clip and every whole clip, at random shifts inside and outside the search range."""
    sync = bundle.manifest.sync
    reach = math.floor(sync.max_offset_ms / sync.hop_ms + 1e-9)
    features, errors, numbers = [], [], []
    for number, clip in enumerate(clips):
        for rows in _windows(clip, sync.window_seconds, sync.decision_step_seconds):
            for centre in _centres(clip, reach, random):
                curve = curve_of_rows(
                    clip.lags_ms[centre - reach : centre + reach + 1] - clip.lags_ms[centre],
                    rows[:, centre - reach : centre + reach + 1],
                )
                peak = find_peak(curve.lags_ms, curve.similarity)
                if peak is None or peak.at_edge:
                    continue
                truth_ms = clip.true_lag_ms - clip.lags_ms[centre]
                in_range = abs(truth_ms) <= sync.max_offset_ms
                named = curve_features(curve)
                features.append([named[name] for name in FEATURES])
                # Offsets have the opposite sign of lags.
                errors.append(truth_ms - peak.lag_ms if in_range else math.nan)
                numbers.append(number)
    return Examples(np.asarray(features), np.asarray(errors), np.asarray(numbers))


def fit(examples: Examples, *, num_clips: int, source: str) -> Calibration:
    """Logistic regression; the threshold comes from probabilities that were predicted across clips."""
    right = examples.right
    weights, bias = fit_logistic(examples.features, right)
    unseen = np.empty(len(right))
    for fold in range(FOLDS):
        test = examples.clips % FOLDS == fold
        if test.any() and (~test).any():
            fold_weights, fold_bias = fit_logistic(examples.features[~test], right[~test])
            unseen[test] = _sigmoid(examples.features[test] @ fold_weights + fold_bias)
    threshold = _threshold(unseen, right)
    trusted = examples.errors_ms[(unseen >= threshold) & right]
    if len(trusted) == 0:
        trusted = examples.errors_ms[right]
    zero_point_ms = float(np.median(trusted))
    standard_error_ms = 1.2533 * float(np.std(trusted)) / math.sqrt(len(trusted))
    if abs(zero_point_ms) <= 2 * standard_error_ms:
        zero_point_ms = 0.0
    resolution_ms = math.ceil(max(MIN_RESOLUTION_MS, float(np.median(np.abs(trusted - zero_point_ms)))))
    return Calibration(
        features=list(FEATURES),
        weights=[round(float(weight), 6) for weight in weights],
        bias=round(bias, 6),
        threshold=round(threshold, 4),
        tolerance_ms=TOLERANCE_MS,
        resolution_ms=float(resolution_ms),
        zero_point_ms=round(zero_point_ms, 2),
        num_clips=num_clips,
        num_windows=len(right),
        source=source,
    )


def fit_logistic(features: FloatArray, labels: NDArray[np.bool_]) -> tuple[FloatArray, float]:
    """Weights (F,), none negative, and bias of the most likely logistic model with a slight ridge on the weights."""
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    scaled, signs = (features - centre) / spread, np.where(labels, 1.0, -1.0)

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        margins = signs * (scaled @ parameters[:-1] + parameters[-1])
        pull = -signs * _sigmoid(-margins) / len(signs)
        gradient = np.append(scaled.T @ pull + RIDGE * parameters[:-1], pull.sum())
        value = np.logaddexp(0, -margins).mean() + 0.5 * RIDGE * (parameters[:-1] ** 2).sum()
        return float(value), gradient

    width = features.shape[1]
    found = minimize(
        loss, np.zeros(width + 1), jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * width + [(None, None)]
    )
    weights = found.x[:-1] / spread
    return weights, float(found.x[-1] - weights @ centre)


def with_calibration(bundle: Bundle, calibration: Calibration | None) -> Bundle:
    """The same opened bundle with a calibration."""
    return replace(bundle, manifest=replace(bundle.manifest, calibration=calibration))


def _embed(bundle: Bundle, path: Path) -> ClipRows | None:
    """Rows over twice the search range and more; None, with a log line, for a clip that cannot be used."""
    sync = bundle.manifest.sync
    rows: list[Row] = []
    try:
        scorer = SyncScorer(bundle, max_offset_ms=2.5 * sync.max_offset_ms, on_row=rows.append)
        with MediaReader(path) as reader:
            for item in reader:
                if item.pts_seconds > MAX_CLIP_SECONDS:
                    break
                if isinstance(item, VideoFrame):
                    scorer.push_video(item.rgb, pts_seconds=item.pts_seconds)
                else:
                    scorer.push_audio(item.samples, pts_seconds=item.pts_seconds)
        scorer.flush()
    except CavsyncError as error:
        log.warning("not used for calibration: %s", error)
        return None
    if not rows:
        return None
    return ClipRows(
        name=path.name,
        rows=np.stack([row.similarity for row in rows]),
        times_seconds=np.asarray([row.time_seconds for row in rows]),
        lags_ms=scorer.lags_ms,
        true_lag_ms=-_true_offset_ms(path),
    )


def _true_offset_ms(path: Path) -> float:
    for record in read_truth(path.parent):
        if record["file"] == path.name:
            return float(record["audio_offset_ms"])
    return 0.0


def _windows(clip: ClipRows, window_seconds: float, step_seconds: float) -> Iterator[FloatArray]:
    """Rows of the whole clip, then of windows at every second decision."""
    yield clip.rows
    start = clip.times_seconds[0]
    while start + window_seconds <= clip.times_seconds[-1]:
        inside = (clip.times_seconds >= start) & (clip.times_seconds < start + window_seconds)
        yield clip.rows[inside]
        start += 2 * step_seconds


def _centres(clip: ClipRows, reach: int, random: np.random.Generator) -> list[int]:
    """Indices of the wide grid that stand for lag 0: around the truth, and so far from it that nothing is right."""
    truth = int(np.argmin(np.abs(clip.lags_ms - clip.true_lag_ms)))
    near = truth + random.integers(-round(RANGE_SHARE * reach), round(RANGE_SHARE * reach) + 1, size=SHIFTS_IN_RANGE)
    beyond = round(1.25 * reach)
    far = truth + random.choice([-beyond, beyond], size=SHIFTS_OUT_OF_RANGE)
    return [int(c) for c in [*near, *far] if reach <= c < len(clip.lags_ms) - reach]


def _threshold(probabilities: FloatArray, right: NDArray[np.bool_]) -> float:
    """Smallest probability, within `THRESHOLDS`, above which at least `WANTED_PRECISION` of the peaks are right."""
    low, high = THRESHOLDS
    for threshold in np.arange(low, high, 0.01):
        accepted = probabilities >= threshold
        if accepted.any() and right[accepted].mean() >= WANTED_PRECISION:
            return float(threshold)
    return high


def _sigmoid(values: FloatArray) -> FloatArray:
    result: FloatArray = 0.5 * (1 + np.tanh(0.5 * values))
    return result
