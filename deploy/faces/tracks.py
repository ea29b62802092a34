"""Faces followed from frame to frame: the mesh where a face was, the detector only where one may be new or lost."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.faces.detector import Detection, FaceDetector
from cavsync.deploy.faces.mesh import (
    LEFT_EYE_OUTER,
    RIGHT_EYE_OUTER,
    FaceMesh,
    Region,
    region_of_detection,
    region_of_mesh,
)

FloatArray = NDArray[np.float64]
MAX_FACES = 3
"""Faces that are followed at a time: what a frame costs is bounded whatever it shows."""
MIN_PRESENCE = 0.5
SEARCH_SECONDS = 0.12
"""Time from one search to the next while no face is followed."""
LOOK_AROUND_SECONDS = 0.6
"""Time from one search to the next while faces are followed."""
MIN_OVERLAP = 0.4
"""A face whose box overlaps its last one by less (intersection over union) is another face."""
CUT_THUMBNAIL = 24
CUT_DIFFERENCE = 28.0
"""Mean absolute difference of two frames, made small and of grey levels 0..255, above which a cut lies between."""
NOSE_TIP = 1


@dataclass(frozen=True)
class Face:
    """One face in one frame.

    `track` numbers the faces that were followed; `points` (468, 3) in pixels of the frame; `presence` is the mesh's own
    probability that it is a face; `eye_distance_px` lies between the outer corners of the eyes; `frontality` is 1 seen
    from the front and 0 in profile.
    """

    track: int
    points: FloatArray
    presence: float
    eye_distance_px: float
    frontality: float

    @property
    def box(self) -> FloatArray:
        """Left, top, right and bottom of the points, in pixels."""
        return _box(self.points)


@dataclass
class _Track:
    number: int
    points: FloatArray
    region: Region = field(init=False)

    def __post_init__(self) -> None:
        self.region = region_of_mesh(self.points)


class FaceFinder:
    """Follows the faces of one stream of frames.

    A cut ends all tracks; so does a face that leaves, turns away or moves by more than half of itself from one frame to
    the next. Where the first detector finds no face the second one, which sees smaller faces, is asked.

    Args:
        detectors: in the order in which they are asked.
        mesh: measures a face.
    """

    def __init__(self, detectors: list[FaceDetector], mesh: FaceMesh) -> None:
        self._detectors = detectors
        self._mesh = mesh
        self._tracks: list[_Track] = []
        self._num_tracks = 0
        self._searched_seconds = -np.inf
        self._thumbnail: NDArray[np.float32] | None = None

    def push(self, frame: NDArray[np.uint8], pts_seconds: float) -> list[Face]:
        """The faces of the next frame, RGB (H, W, 3) uint8; the longest followed first."""
        thumbnail = _thumbnail(frame)
        if self._thumbnail is not None and np.abs(thumbnail - self._thumbnail).mean() > CUT_DIFFERENCE:
            self._tracks = []
            self._searched_seconds = -np.inf
        self._thumbnail = thumbnail
        if pts_seconds < self._searched_seconds:
            self._searched_seconds = -np.inf
        before = len(self._tracks)
        faces = self._follow(frame)
        lost = len(self._tracks) < before
        wait = LOOK_AROUND_SECONDS if self._tracks else SEARCH_SECONDS
        if len(self._tracks) < MAX_FACES and (lost or pts_seconds - self._searched_seconds >= wait):
            self._searched_seconds = pts_seconds
            faces += self._search(frame)
        return faces

    def _follow(self, frame: NDArray[np.uint8]) -> list[Face]:
        faces: list[Face] = []
        kept: list[_Track] = []
        measured = self._mesh.measure(frame, [track.region for track in self._tracks])
        for track, (points, presence) in zip(self._tracks, measured, strict=True):
            if presence < MIN_PRESENCE or overlap(_box(points), _box(track.points)) < MIN_OVERLAP:
                continue
            if any(overlap(_box(points), _box(other.points)) > MIN_OVERLAP for other in kept):
                continue
            kept.append(_Track(track.number, points))
            faces.append(_face(track.number, points, presence))
        self._tracks = kept
        return faces

    def _search(self, frame: NDArray[np.uint8]) -> list[Face]:
        known = [_box(track.points) for track in self._tracks]
        fresh: list[Detection] = []
        for detector in self._detectors:
            fresh = [face for face in detector.detect(frame) if all(overlap(face.box, box) < 0.2 for box in known)]
            if fresh or known:
                break
        faces = []
        for detection in fresh[: MAX_FACES - len(self._tracks)]:
            first, _ = self._mesh.measure(frame, [region_of_detection(detection)])[0]
            # The detector's square is rough: measured again in the square of its own first points.
            points, presence = self._mesh.measure(frame, [region_of_mesh(first)])[0]
            if presence < MIN_PRESENCE or any(
                overlap(_box(points), _box(t.points)) > MIN_OVERLAP for t in self._tracks
            ):
                continue
            self._tracks.append(_Track(self._num_tracks, points))
            faces.append(_face(self._num_tracks, points, presence))
            self._num_tracks += 1
        return faces


def overlap(box: FloatArray, other: FloatArray) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    shared = float(np.prod(np.clip(sides, 0, None)))
    union = float(np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2])) - shared
    return shared / union if union > 0 else 0.0


def frontality(points: FloatArray) -> float:
    """1 where the tip of the nose lies midway between the eyes, 0 where it lies above one of their outer corners."""
    across = points[LEFT_EYE_OUTER, :2] - points[RIGHT_EYE_OUTER, :2]
    length = float(across @ across)
    if length == 0:
        return 0.0
    share = float((points[NOSE_TIP, :2] - points[RIGHT_EYE_OUTER, :2]) @ across) / length
    return float(np.clip(1 - 2 * abs(share - 0.5), 0, 1))


def _face(number: int, points: FloatArray, presence: float) -> Face:
    eyes = float(np.linalg.norm(points[LEFT_EYE_OUTER, :2] - points[RIGHT_EYE_OUTER, :2]))
    return Face(number, points, presence, eyes, frontality(points))


def _box(points: FloatArray) -> FloatArray:
    return np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])


def _thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    rows = np.linspace(0, frame.shape[0] - 1, 4 * CUT_THUMBNAIL).astype(int)
    columns = np.linspace(0, frame.shape[1] - 1, 4 * CUT_THUMBNAIL).astype(int)
    grey = frame[rows[:, None], columns].astype(np.float32).mean(axis=-1)
    thumbnail: NDArray[np.float32] = grey.reshape(CUT_THUMBNAIL, 4, CUT_THUMBNAIL, 4).mean(axis=(1, 3))
    return thumbnail
