"""The verdict on a similarity curve: evidence, calibrated confidence, and comparison with the profile's limits.

Silence, static video, too few frames or a flat curve give `undetermined`, never a guess. So does an offset closer to a
limit than the resolution that the bundle reached on held-out clips.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.verdict.curve import MIN_ROWS, Curve, Peak, curve_features, find_peak
from cavsync.deploy.verdict.profiles import Profile
from cavsync.deploy.verdict.records import AUDIO_EARLY, AUDIO_LATE, IN_SYNC, UNDETERMINED, SyncScore
from cavsync.manifest import Calibration

SILENCE_DBFS = -60.0
SILENT_SHARE = 0.95
# Key frames make even static video change slightly; real motion is either frequent or large.
MOTION_LEVELS = 0.05
MOVING_SHARE = 0.05
LARGE_MOTION_LEVELS = 2.0
MIN_LAGS = 5
SPARSE_SECONDS = 0.25
"""Frames farther apart than this are too few for a window, and their groups take longer than audio is kept."""
FLAT_CONTRAST = 1e-4


@dataclass(frozen=True)
class Evidence:
    """Motion, audio level and frame period of a part of a stream, one entry per frame (NaN where unknown).

    `motion` is None where something else shows whether anything moves.
    """

    motion: NDArray[np.float64] | None
    level_dbfs: NDArray[np.float64]
    period_seconds: NDArray[np.float64]

    @property
    def frame_period_seconds(self) -> float:
        """Median time between frames; NaN with fewer than two frames."""
        known = self.period_seconds[np.isfinite(self.period_seconds)]
        return float(np.median(known)) if len(known) else math.nan


def probability(calibration: Calibration, features: dict[str, float]) -> float:
    """Return the calibrated probability that the offset is right: sigmoid(bias + sum of weights * features).

    `log_frames` counts up to the calibration's `max_frames`.
    """
    if calibration.max_frames is not None and "log_frames" in features:
        features = features | {"log_frames": min(features["log_frames"], math.log(calibration.max_frames))}
    terms = [weight * features[name] for name, weight in zip(calibration.features, calibration.weights, strict=True)]
    logit = calibration.bias + math.fsum(terms)
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def lack_of_input(num_frames: int, evidence: Evidence) -> str | None:
    """Return a sentence on why these frames and their audio can show nothing, or None if they can."""
    if num_frames < MIN_ROWS:
        return f"only {num_frames} video frames in the window, at least {MIN_ROWS} are needed"
    period_seconds = evidence.frame_period_seconds
    if period_seconds > SPARSE_SECONDS:
        return f"the video has only one frame every {period_seconds:.1f} s, {SPARSE_SECONDS:g} s or less are needed"
    levels = evidence.level_dbfs[np.isfinite(evidence.level_dbfs)]
    if len(levels) < MIN_ROWS:
        return "there is no audio in the window"
    if np.mean(levels < SILENCE_DBFS) >= SILENT_SHARE:
        return f"the audio is silent (below {SILENCE_DBFS:.0f} dBFS)"
    motion = evidence.motion
    if motion is not None and np.mean(motion > MOTION_LEVELS) < MOVING_SHARE and motion.max() < LARGE_MOTION_LEVELS:
        return "the video is static"
    return None


def lack_of_evidence(curve: Curve, evidence: Evidence) -> str | None:
    """Return a sentence on why nothing can be measured, or None if something can."""
    if (lack := lack_of_input(curve.num_frames, evidence)) is not None:
        return lack
    finite = curve.similarity[np.isfinite(curve.similarity)]
    if len(finite) < MIN_LAGS:
        return "too little of the audio around the window is available"
    if finite.max() - np.median(finite) < FLAT_CONTRAST:
        return "the similarity curve is flat, no lag matches better than the others"
    return None


def judge(
    curve: Curve,
    evidence: Evidence,
    calibration: Calibration | None,
    profile: Profile,
    *,
    time_seconds: float,
    window_seconds: float,
    resolution_floor_ms: float = 0.0,
    lack: str | None = None,
) -> SyncScore:
    """Return the decision on the part of the stream that ends at `time_seconds`.

    resolution_floor_ms: resolution of the lag grid, where that is coarser than the calibration's.
    lack: a reason, known to the caller, why nothing can be measured.
    """
    features = curve_features(curve)
    peak = find_peak(curve.lags_ms, curve.similarity)
    reason = lack or lack_of_evidence(curve, evidence)
    if reason is None and peak is not None and peak.at_edge:
        end_ms = abs(curve.lags_ms[0])
        reason = f"the best match lies at the end of the search range, so the offset may be beyond ±{end_ms:.0f} ms"
    resolution_ms = _resolution_ms(curve, peak, calibration, resolution_floor_ms)
    offset_ms = confidence = None
    state, is_measured = UNDETERMINED, False
    if reason is None and peak is not None:
        offset_ms = -peak.lag_ms - (calibration.zero_point_ms if calibration else 0.0)
        if calibration is None or resolution_ms is None:
            reason = "this bundle is not calibrated, so its offsets are estimates of unknown confidence"
        elif (confidence := probability(calibration, features)) < calibration.threshold:
            reason = f"the confidence {confidence:.2f} is below the bundle's threshold {calibration.threshold:.2f}"
        else:
            is_measured = True
            state, reason = compare_with_limits(offset_ms, resolution_ms, profile, evidence.frame_period_seconds)
    return SyncScore(
        time_seconds=time_seconds,
        window_seconds=window_seconds,
        audio_offset_ms=offset_ms,
        offset_resolution_ms=resolution_ms,
        suggested_audio_delay_ms=offset_ms if is_measured else None,
        similarity=peak.similarity if peak else None,
        confidence=confidence,
        state=state,
        profile=profile.name,
        within_profile=None if state == UNDETERMINED else state == IN_SYNC,
        reason=reason,
        is_measured=is_measured,
        curve=curve,
        features=features,
    )


def _resolution_ms(curve: Curve, peak: Peak | None, calibration: Calibration | None, floor_ms: float) -> float | None:
    """Return the coarser of the bundle's and the grid's resolution; None for a bundle that is not calibrated."""
    if calibration is None:
        return None
    hop_ms = float(curve.lags_ms[1] - curve.lags_ms[0]) if len(curve.lags_ms) > 1 else 0.0
    # Where an adaptive search skipped lags, the peak may lie anywhere between those evaluated.
    skipped_ms = peak.spacing_ms if peak is not None and peak.spacing_ms > 1.5 * hop_ms else 0.0
    return max(calibration.resolution_ms, floor_ms, skipped_ms)


def compare_with_limits(
    offset_ms: float, resolution_ms: float, profile: Profile, frame_period_seconds: float
) -> tuple[str, str | None]:
    """Return the state of a trusted offset, and the reason where that is `undetermined`."""
    early_ms, late_ms = profile.limits_ms(frame_period_seconds)
    if not math.isfinite(early_ms):
        return UNDETERMINED, f"the limits of profile {profile.name} need the frame period, which is unknown"
    low, high = offset_ms - resolution_ms, offset_ms + resolution_ms
    if -late_ms <= low and high <= early_ms:
        return IN_SYNC, None
    if low > early_ms:
        return AUDIO_EARLY, None
    if high < -late_ms:
        return AUDIO_LATE, None
    return UNDETERMINED, (
        f"the offset {offset_ms:+.0f} ms lies within the bundle's resolution of ±{resolution_ms:.0f} ms "
        f"of a limit of profile {profile.name} (+{early_ms:.0f}/-{late_ms:.0f} ms)"
    )
