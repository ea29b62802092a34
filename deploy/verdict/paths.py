"""The verdict of two paths: the whole picture's, and those of the faces in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cavsync.deploy.verdict.confidence import Evidence, judge, lack_of_evidence, lack_of_input
from cavsync.deploy.verdict.curve import Curve
from cavsync.deploy.verdict.face_view import FaceView
from cavsync.deploy.verdict.profiles import Profile
from cavsync.deploy.verdict.records import FACE, UNDETERMINED, SyncScore
from cavsync.manifest import Calibration

CLEAR_ODDS = 4.0
"""How many times the odds of one face must be those of another for it to decide against that one."""
MIN_STRENGTH = 0.9
"""Least `strength` (see `curve_features`) of a face's peak that is decided on: where a curve is smooth, a low peak
stands out by many of its deviations, and is chance all the same."""
SURE_ALONE = 0.99
"""Least confidence at which the whole picture decides where faces are looked for and no lips that are seen support it.
On real clips of music, impacts and scenes, unlike what the shipped model was trained and calibrated on, 9 of 14
decisions on files and 39 of 49 on windows were wrong at the calibrated thresholds, at confidences of up to 0.98."""
STEADY_SOUND_DB = 3.0
"""Range of the level of the sound's segments (5th to 95th percentile) below which it hardly changes."""


def judge_face(
    curve: Curve,
    view: FaceView,
    evidence: Evidence,
    calibration: Calibration | None,
    profile: Profile,
    *,
    time_seconds: float,
    window_seconds: float,
    resolution_floor_ms: float = 0.0,
) -> SyncScore:
    """Return the decision that one face gives on the part of the stream that ends at `time_seconds`.

    evidence: without motion, which the lips have to show.
    """
    lack = lack_of_input(curve.num_frames, evidence)
    score = judge(
        curve,
        evidence,
        calibration,
        profile,
        time_seconds=time_seconds,
        window_seconds=window_seconds,
        resolution_floor_ms=resolution_floor_ms,
        lack=lack or (view.shortcoming if view.is_mute else None),
    )
    score = replace(score, path=FACE, face=view)
    if score.is_measured and (score.features or {}).get("strength", 0.0) < MIN_STRENGTH:
        score = _undecided(score, None)
    if lack is not None or score.is_measured:
        return score
    # A face that is hard to see says more than what else is missing, and that more than why no lag stands out.
    cause = None
    if calibration is not None and lack_of_evidence(curve, evidence) is None:
        cause = view.doubt or _cause(curve, evidence)
    return replace(score, reason=view.shortcoming or cause or score.reason)


def _cause(curve: Curve, evidence: Evidence) -> str:
    """Return a clause on why lips that move fit the sound at no lag, or not clearly.

    The curve does not tell its causes apart: syllables and dubbed speech reach the same confidence.
    """
    levels = evidence.level_dbfs[np.isfinite(evidence.level_dbfs)]
    if np.ptp(np.percentile(levels, [5, 95])) < STEADY_SOUND_DB:
        return "the sound hardly changes, so it shows no moment that the lips could fit"
    reach_ms = max(abs(curve.lags_ms[0]), abs(curve.lags_ms[-1]))
    return (
        f"lips and sound move, but no offset within ±{reach_ms:.0f} ms fits clearly (dubbed, another speaker, an "
        "offset beyond the range, or too little speech)"
    )


def unsupported(whole: SyncScore, why: str = "no face is seen well enough") -> SyncScore:
    """Return the whole picture's decision where faces were looked for and none supports it: only if it is very sure."""
    if not whole.is_measured or (whole.confidence or 0.0) >= SURE_ALONE:
        return whole
    reason = (
        f"{why}, and alone the whole picture's offset of {_offset(whole)} is trusted from a confidence of {SURE_ALONE} "
        f"on, not at {whole.confidence:.3f} (path 'whole' judges by the calibration alone)"
    )
    return _undecided(whole, reason)


def combine(whole: SyncScore, faces: Sequence[SyncScore], tolerance_ms: float) -> SyncScore:
    """Return the decision of both paths; the result carries `faces` for reports.

    The face with the highest confidence speaks for all of them. Where one path alone decides, it does; where both do
    and their offsets lie at most `tolerance_ms` apart, the face does, whose lips show the moment of a sound best;
    farther apart, neither. Nor does any where two faces decide that far apart and are about as sure. Where no face
    decides, the whole picture does only if it is very sure, or the best match of lips that are seen supports it. Where
    neither path decides, a face that is there gives the reason.

    Args:
        whole: decision of the whole picture.
        faces: decisions of the faces that are in enough of the window.
    """
    if not faces:
        return unsupported(whole)
    face = max(faces, key=lambda score: -1.0 if score.confidence is None else score.confidence)
    rivals = [other for other in faces if is_disputed(other, face, tolerance_ms)]
    rival = next((other for other in rivals if _odds(face) < CLEAR_ODDS * _odds(other)), None)
    if rival is not None:
        chosen = _undecided(face, f"one face says {_offset(face)} and another {_offset(rival)}")
    elif is_disputed(whole, face, tolerance_ms):
        chosen = _undecided(face, f"the face says {_offset(face)} and the whole picture {_offset(whole)}")
    elif whole.is_measured and not face.is_measured:
        if face.face is None or face.face.shortcoming is not None:
            chosen = unsupported(whole)
        elif _agree(whole, face, tolerance_ms):
            chosen = whole
        else:
            chosen = unsupported(whole, "the lips that are seen do not fit")
    elif not face.is_measured and face.confidence is not None and len(faces) > 1:
        chosen = replace(face, reason=f"none of the {len(faces)} faces is sure to fit; of the best one, {face.reason}")
    else:
        chosen = face
    return replace(chosen, face=face.face, faces=tuple(faces))


def _agree(one: SyncScore, other: SyncScore, tolerance_ms: float) -> bool:
    """Whether both have a best match, decided on or not, at about the same offset."""
    if one.audio_offset_ms is None or other.audio_offset_ms is None:
        return False
    return abs(one.audio_offset_ms - other.audio_offset_ms) <= tolerance_ms


def is_disputed(one: SyncScore, other: SyncScore, tolerance_ms: float) -> bool:
    """Whether both decide and contradict each other."""
    return one.is_measured and other.is_measured and not _agree(one, other, tolerance_ms)


def tolerance_ms(*calibrations: Calibration | None) -> float:
    """Largest distance at which two paths agree."""
    return max((found.tolerance_ms for found in calibrations if found is not None), default=0.0)


def _odds(score: SyncScore) -> float:
    """Odds that a decision is right."""
    confidence = score.confidence or 0.0
    return confidence / max(1 - confidence, 1e-9)


def _offset(score: SyncScore) -> str:
    return f"{score.audio_offset_ms:+.0f} ms"


def _undecided(face: SyncScore, reason: str | None) -> SyncScore:
    return replace(
        face,
        suggested_audio_delay_ms=None,
        confidence=None,
        state=UNDETERMINED,
        within_profile=None,
        reason=reason,
        is_measured=False,
    )
