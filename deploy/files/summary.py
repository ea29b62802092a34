"""The verdict on a whole file, from the mean of all its rows, or from its windows where those disagree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from cavsync.deploy.files.face_file import SpeakingFace
from cavsync.deploy.files.whole_file import WholeFile
from cavsync.deploy.stream.scorer import NO_FACE, SyncScorer
from cavsync.deploy.stream.span import TIME_TOLERANCE_SECONDS
from cavsync.deploy.verdict.confidence import Evidence, compare_with_limits, judge, lack_of_input
from cavsync.deploy.verdict.curve import FloatArray
from cavsync.deploy.verdict.paths import combine, is_disputed, judge_face, tolerance_ms, unsupported
from cavsync.deploy.verdict.records import FACE, IN_SYNC, UNDETERMINED, WHOLE, SyncScore, rounded
from cavsync.deploy.verdict.trend import Event
from cavsync.manifest import Calibration

# Windows replace the whole file's curve only if enough are trusted, and give a single offset only if most agree.
MIN_WINDOWS = 3
MIN_WINDOW_SHARE = 0.2
AGREEING_SHARE = 0.7


@dataclass(frozen=True)
class FileSummary:
    """Record of a whole file: its `score`, and the fields that only a whole file has.

    `path_share` is the share of the windows judged on each path, `num_faces` the most faces in one frame.
    `audio_stream` is the number of the audio track, or of those that were mixed, as in `2+3`; `notes` are sentences
    about other tracks and about what was changed to score this one.
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
    path_share: dict[str, float]
    num_faces: int
    audio_stream: str
    notes: list[str]
    media: dict[str, Any]
    bundle: dict[str, Any]
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as a JSON object, rounded."""
        own = {item.name: rounded(item.name, getattr(self, item.name)) for item in fields(self)}
        own["events"] = [event.to_dict() for event in self.events]
        own["media"] = {name: rounded("similarity", value) for name, value in self.media.items()}
        own["path_share"] = {path: rounded("_share", share) for path, share in self.path_share.items()}
        del own["source"], own["score"]
        return {"kind": "summary", "source": self.source, **self.score.to_dict(), **own}


def summarise(
    whole: WholeFile,
    face: SpeakingFace | None,
    records: Sequence[SyncScore],
    scorer: SyncScorer,
    *,
    end_seconds: float,
    duration_seconds: float,
) -> SyncScore:
    """Judge the file by the curves of all its rows, or by its trusted windows where they contradict these.

    The whole picture and the speaking face give a decision each, combined as in a window. An offset that drifts or
    jumps smears the curve of the whole file, whose peak would then be a confident but wrong constant. The score of a
    varying offset has the median, the state of most windows, and no suggested delay.
    """
    evidence = whole.evidence()
    overall, is_contradictory = _overall(whole, face, scorer, evidence, end_seconds, duration_seconds)
    measured = [record for record in records if record.is_measured]
    calibrations = [found for path in {record.path for record in measured} if (found := _of(path, scorer)) is not None]
    if is_contradictory or not calibrations or len(measured) < max(MIN_WINDOWS, MIN_WINDOW_SHARE * len(records)):
        return overall
    # Neighbouring windows share most of their frames, so one false peak is in several of them.
    if not overall.is_measured and _num_apart(measured) < MIN_WINDOWS:
        return overall
    offsets = np.array([record.audio_offset_ms for record in measured], dtype=np.float64)
    median_ms = float(np.median(offsets))
    near_ms = max(max(found.tolerance_ms, 2 * found.resolution_ms) for found in calibrations)
    agreeing = float(np.mean(np.abs(offsets - median_ms) <= near_ms))
    is_varying = agreeing < AGREEING_SHARE
    offset_ms = overall.audio_offset_ms
    resolution_ms = max(found.resolution_ms for found in calibrations)
    resolution_ms = max(resolution_ms, scorer.resolution_floor_ms(whole.mean_stride))
    if is_varying:
        state, reason = _majority([record.state for record in measured]), _varying(offsets)
    elif overall.is_measured and offset_ms is not None and abs(offset_ms - median_ms) <= near_ms:
        return overall
    else:
        state, limit = compare_with_limits(median_ms, resolution_ms, scorer.profile, evidence.frame_period_seconds)
        reason = limit or f"the median of the {len(measured)} of {len(records)} windows that could be measured"
    path = _majority_path(measured)
    if path != overall.path:
        # The curve of the file is that of the other path.
        overall = replace(overall, curve=None, features=None, similarity=None)
    return replace(
        overall,
        audio_offset_ms=median_ms,
        offset_resolution_ms=max(resolution_ms, overall.offset_resolution_ms or 0.0),
        suggested_audio_delay_ms=None if is_varying else median_ms,
        confidence=agreeing * float(np.median([record.confidence for record in measured if record.confidence])),
        state=state,
        within_profile=None if state == UNDETERMINED else state == IN_SYNC,
        reason=reason,
        path=path,
        is_measured=not is_varying,
        is_varying=is_varying,
    )


def _num_apart(records: Sequence[SyncScore]) -> int:
    """Return the number of windows, taken from the first on, that do not overlap."""
    count, end_seconds = 0, -math.inf
    for record in records:
        if record.time_seconds - record.window_seconds >= end_seconds - TIME_TOLERANCE_SECONDS:
            count, end_seconds = count + 1, record.time_seconds
    return count


def path_share(records: Sequence[SyncScore]) -> dict[str, float]:
    """Return the share of the windows judged on each path."""
    return {path: sum(record.path == path for record in records) / len(records) for path in (FACE, WHOLE)}


def _overall(
    whole: WholeFile,
    face: SpeakingFace | None,
    scorer: SyncScorer,
    evidence: Evidence,
    end_seconds: float,
    duration_seconds: float,
) -> tuple[SyncScore, bool]:
    """Return the decision from the curves of all rows, and whether the paths contradict each other."""
    manifest, curve = scorer.bundle.manifest, whole.curve()
    calibration = manifest.file_calibration or manifest.calibration
    score = judge(
        curve,
        evidence,
        calibration,
        scorer.profile,
        time_seconds=end_seconds,
        window_seconds=duration_seconds,
        resolution_floor_ms=scorer.resolution_floor_ms(whole.mean_stride),
    )
    if WHOLE not in scorer.paths:
        reason = lack_of_input(curve.num_frames, evidence) or NO_FACE
        score = replace(score, path=FACE, reason=reason, offset_resolution_ms=None)
    if manifest.faces is None:
        return score, False
    if face is None:
        return (unsupported(score) if {FACE, WHOLE} <= set(scorer.paths) else score), False
    face_calibration = manifest.faces.file_calibration or manifest.faces.calibration
    spoken = judge_face(
        face.curve,
        face.view,
        Evidence(None, face.level_dbfs, evidence.period_seconds),
        face_calibration,
        scorer.profile,
        time_seconds=end_seconds,
        window_seconds=duration_seconds,
        resolution_floor_ms=scorer.hop_resolution_ms,
    )
    agreed_ms = tolerance_ms(calibration, face_calibration)
    return combine(score, [spoken], agreed_ms), is_disputed(score, spoken, agreed_ms)


def _of(path: str, scorer: SyncScorer) -> Calibration | None:
    """The calibration of a path's windows."""
    manifest = scorer.bundle.manifest
    if path == WHOLE:
        return manifest.calibration
    return None if manifest.faces is None else manifest.faces.calibration


def _majority_path(records: Sequence[SyncScore]) -> str:
    return FACE if 2 * sum(record.path == FACE for record in records) > len(records) else WHOLE


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
