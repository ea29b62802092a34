"""Windows of a stream: the whole picture's decision, joined with those of the faces once these are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cavsync.deploy.stream.face_path import FaceRow
from cavsync.deploy.verdict.confidence import Evidence
from cavsync.deploy.verdict.curve import FACE_PRIOR_ROWS, MIN_ROWS, FloatArray, curve_of_rows
from cavsync.deploy.verdict.face_view import FaceView, LipMotion
from cavsync.deploy.verdict.paths import combine, judge_face, tolerance_ms
from cavsync.deploy.verdict.profiles import Profile
from cavsync.deploy.verdict.records import SyncScore
from cavsync.manifest import FaceSpec, Manifest

MIN_FACE_SHARE = 0.4
"""A face in less of a window is not judged."""


@dataclass(frozen=True)
class Window:
    """A window that ends at `score.time_seconds` in one epoch, and the whole picture's decision about it."""

    score: SyncScore
    evidence: Evidence
    epoch: int

    @property
    def start_seconds(self) -> float:
        """Where it begins."""
        return self.score.time_seconds - self.score.window_seconds


@dataclass(frozen=True)
class FaceJudge:
    """Judges the faces of a window and combines them with the whole picture."""

    spec: FaceSpec
    manifest: Manifest
    profile: Profile
    lags_ms: FloatArray
    resolution_floor_ms: float

    def decide(self, window: Window, rows: Sequence[FaceRow]) -> SyncScore:
        """Return the decision about a window, whose face rows are `rows`."""
        tracks = sorted({row.track for row in rows})
        all_faces = [[row for row in rows if row.track == track] for track in tracks]
        expected = window.score.window_seconds * self.spec.frame_rate_hz
        enough = max(MIN_ROWS, MIN_FACE_SHARE * expected)
        faces = [self._judge(window, face, len(face) / expected) for face in all_faces if len(face) >= enough]
        return combine(window.score, faces, tolerance_ms(self.manifest.calibration, self.spec.calibration))

    def _judge(self, window: Window, rows: list[FaceRow], share: float) -> SyncScore:
        levels = np.array([row.level_dbfs for row in rows])
        return judge_face(
            curve_of_rows(self.lags_ms, np.array([row.similarity for row in rows]), prior_rows=FACE_PRIOR_ROWS),
            view_of(rows, min(1.0, share)),
            Evidence(None, levels, window.evidence.period_seconds),
            self.spec.calibration,
            self.profile,
            time_seconds=window.score.time_seconds,
            window_seconds=window.score.window_seconds,
            resolution_floor_ms=self.resolution_floor_ms,
        )


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
