"""Windows of a stream: the decisions of the faces in them, joined with that of the whole picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cavsync.deploy.stream.face_path import FaceRow
from cavsync.deploy.stream.rows import Row, evidence_of
from cavsync.deploy.verdict.confidence import Evidence
from cavsync.deploy.verdict.curve import FACE_PRIOR_ROWS, MIN_ROWS, FloatArray, curve_of_rows
from cavsync.deploy.verdict.face_view import FaceView, LipMotion
from cavsync.deploy.verdict.paths import CLEAR_ODDS, combine, is_disputed, judge_face, tolerance_ms
from cavsync.deploy.verdict.profiles import Profile
from cavsync.deploy.verdict.records import SyncScore
from cavsync.manifest import FaceSpec, Manifest

MIN_FACE_SHARE = 0.4
"""A face in less of a window is not judged."""


@dataclass(frozen=True)
class Window:
    """A window of `rows` of the whole picture that ends at `end_seconds` in one epoch; `score` is the decision about
    the whole picture, None where that waits for the faces."""

    rows: list[Row]
    end_seconds: float
    window_seconds: float
    epoch: int
    score: SyncScore | None = None

    @property
    def start_seconds(self) -> float:
        """Where it begins."""
        return self.end_seconds - self.window_seconds


@dataclass(frozen=True)
class FaceJudge:
    """Judges the faces of a window and combines them with the whole picture."""

    spec: FaceSpec
    manifest: Manifest
    profile: Profile
    lags_ms: FloatArray
    resolution_floor_ms: float

    def judge(self, window: Window, rows: Sequence[FaceRow]) -> list[SyncScore]:
        """Return the decision about each face of a window, whose face rows are `rows`."""
        tracks = sorted({row.track for row in rows})
        all_faces = [[row for row in rows if row.track == track] for track in tracks]
        expected = window.window_seconds * self.spec.frame_rate_hz
        enough = max(MIN_ROWS, MIN_FACE_SHARE * expected)
        period_seconds = evidence_of(window.rows).period_seconds
        return [
            self._judge(window, face, len(face) / expected, period_seconds) for face in all_faces if len(face) >= enough
        ]

    def decides(self, faces: Sequence[SyncScore]) -> bool:
        """Whether the surest face decides, and no other face contradicts it."""
        best = _surest(faces)
        if best is None or not best.is_measured:
            return False
        return not any(is_disputed(other, best, self._tolerance_ms) for other in faces)

    def is_settled(self, whole: SyncScore, faces: Sequence[SyncScore]) -> bool:
        """Whether the whole picture, compared in part, agrees with the face that decides, and one of them is sure.

        The face is if it has `CLEAR_ODDS` times the odds that decide. A whole picture that seems weak is not enough: in
        full it may turn out to contradict the face.
        """
        best, own = _surest(faces), self.spec.calibration
        if best is None or own is None or whole.audio_offset_ms is None or best.audio_offset_ms is None:
            return False
        agrees = abs(whole.audio_offset_ms - best.audio_offset_ms) <= self._tolerance_ms
        is_clear = _odds(best.confidence) >= CLEAR_ODDS * _odds(own.threshold)
        return agrees and (whole.is_measured or is_clear)

    def combine(self, whole: SyncScore, faces: Sequence[SyncScore]) -> SyncScore:
        """Return the decision of both paths."""
        return combine(whole, faces, self._tolerance_ms)

    @property
    def _tolerance_ms(self) -> float:
        return tolerance_ms(self.manifest.calibration, self.spec.calibration)

    def _judge(self, window: Window, rows: list[FaceRow], share: float, period_seconds: FloatArray) -> SyncScore:
        levels = np.array([row.level_dbfs for row in rows])
        return judge_face(
            curve_of_rows(self.lags_ms, np.array([row.similarity for row in rows]), prior_rows=FACE_PRIOR_ROWS),
            view_of(rows, min(1.0, share)),
            Evidence(None, levels, period_seconds),
            self.spec.calibration,
            self.profile,
            time_seconds=window.end_seconds,
            window_seconds=window.window_seconds,
            resolution_floor_ms=self.resolution_floor_ms,
        )


def _surest(faces: Sequence[SyncScore]) -> SyncScore | None:
    """The face with the highest confidence."""
    return max(faces, key=lambda face: face.confidence or 0.0, default=None)


def _odds(probability: float | None) -> float:
    return (probability or 0.0) / max(1 - (probability or 0.0), 1e-9)


def view_of(rows: Sequence[FaceRow], share: float) -> FaceView:
    """Summarise how one face is seen in its rows, which fill `share` of a window."""
    looks = [row.look for row in rows]
    quality = np.array([(look.presence, look.frontality, look.eye_distance_px, *look.box) for look in looks])
    presence, frontality, eye_distance_px, left, top, right, bottom = map(float, np.median(quality, axis=0))
    times_seconds, opening = np.array([(row.time_seconds, row.look.mouth_opening) for row in rows]).T
    return FaceView(
        track=rows[0].track,
        box=(left, top, right, bottom),
        frame_size=looks[-1].frame_size,
        presence=presence,
        frontality=frontality,
        eye_distance_px=eye_distance_px,
        lips=LipMotion.of(times_seconds, opening),
        share=share,
    )
