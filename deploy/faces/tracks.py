"""Faces followed from frame to frame: the mesh where a face was, the detector only where one may be new or lost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.faces.detector import Detection, FaceDetector, overlap
from cavsync.deploy.faces.mesh import FaceMesh, region_of_detection, region_of_mesh
from cavsync.media.face import RIGHT_EYE_OUTER, eye_axis

FloatArray = NDArray[np.float64]
MAX_FACES = 3
"""Faces that are followed at a time: what a frame costs is bounded whatever it shows."""
MIN_PRESENCE = 0.5
SEARCH_SECONDS = 0.12
"""Shortest time from one search to the next: after a cut, or while a face was lost. It doubles with each search that
finds none."""
LOOK_AROUND_SECONDS = 0.6
"""Longest time from one search to the next, also while faces are followed."""
MIN_OVERLAP = 0.4
"""A face whose box overlaps its last one by less (intersection over union) is another face."""
MAX_GROWTH = 1.2
"""A face that is larger or smaller than in the last frame by more is one after a cut: no head comes nearer so fast."""
DETECTION_OVERLAP = 0.2
"""A detection that overlaps a followed face by as much is that face."""
CUT_THUMBNAIL = 24
CUT_DIFFERENCE = 28.0
"""Mean absolute difference of two frames, made small and of grey levels 0..255, above which a cut lies between."""
NOSE_TIP = 1


@dataclass(frozen=True)
class Face:
    """One face in one frame.

    `track` numbers the faces that were followed; `points` (468, 3) in pixels of the frame; `presence` is the mesh's own
    probability that it is a face.
    """

    track: int
    points: FloatArray
    presence: float

    @cached_property
    def box(self) -> FloatArray:
        """Left, top, right and bottom of the points, in pixels."""
        return np.concatenate([self.points[:, :2].min(axis=0), self.points[:, :2].max(axis=0)])

    @cached_property
    def eye_distance_px(self) -> float:
        """Distance between the outer corners of the eyes."""
        return float(np.linalg.norm(eye_axis(self.points)))

    @cached_property
    def frontality(self) -> float:
        """1 seen from the front, 0 in profile."""
        return frontality(self.points)


class FaceFinder:
    """Follows the faces of one stream of frames.

    A cut ends all tracks; so does a face that leaves, turns away or moves by more than half of itself from one frame to
    the next. Where the first detector finds no face and none is followed, the second one, which sees smaller faces, is
    asked.

    Args:
        detectors: in the order in which they are asked.
        mesh: measures a face.
    """

    def __init__(self, detectors: list[FaceDetector], mesh: FaceMesh) -> None:
        self._detectors = detectors
        self._mesh = mesh
        self._faces: list[Face] = []
        self._num_tracks = 0
        self._searched_seconds = -np.inf
        self._wait_seconds = SEARCH_SECONDS
        self._thumbnail: NDArray[np.float32] | None = None
        self._frame_shape: tuple[int, ...] = ()

    def push(self, frame: NDArray[np.uint8], pts_seconds: float) -> list[Face]:
        """The faces of the next frame, RGB (H, W, 3) uint8; the longest followed first."""
        if self._is_cut(frame):
            self._faces = []
            self._wait_seconds = SEARCH_SECONDS
        if pts_seconds < self._searched_seconds:
            self._searched_seconds = -np.inf
        before = len(self._faces)
        self._follow(frame)
        if len(self._faces) < before:
            self._wait_seconds = SEARCH_SECONDS
        if len(self._faces) < MAX_FACES and pts_seconds - self._searched_seconds >= self._wait_seconds:
            self._searched_seconds = pts_seconds
            self._search(frame)
            self._wait_seconds = (
                LOOK_AROUND_SECONDS if self._faces else min(2 * self._wait_seconds, LOOK_AROUND_SECONDS)
            )
        return list(self._faces)

    def _is_cut(self, frame: NDArray[np.uint8]) -> bool:
        """Whether a cut lies between this frame and the last one; a change of size is one."""
        last, self._thumbnail = self._thumbnail, _thumbnail(frame)
        is_resized, self._frame_shape = frame.shape != self._frame_shape, frame.shape
        return last is not None and (is_resized or bool(np.abs(self._thumbnail - last).mean() > CUT_DIFFERENCE))

    def _follow(self, frame: NDArray[np.uint8]) -> None:
        """Measure the faces of the last frame again, and keep those that are still there."""
        before, self._faces = self._faces, []
        measured = self._mesh.measure(frame, [region_of_mesh(face.points) for face in before])
        for last, (points, presence) in zip(before, measured, strict=True):
            face = Face(last.track, points, presence)
            is_there = presence >= MIN_PRESENCE and overlap(face.box, last.box) >= MIN_OVERLAP
            if is_there and _growth(face, last) <= MAX_GROWTH and self._is_new(face.box):
                self._faces.append(face)

    def _search(self, frame: NDArray[np.uint8]) -> None:
        """Add the faces that the detectors see and that are not followed yet."""
        fresh: list[Detection] = []
        for detector in self._detectors:
            fresh = [
                found
                for found in detector.detect(frame)
                if all(overlap(found.box, face.box) < DETECTION_OVERLAP for face in self._faces)
            ]
            if fresh or self._faces:
                break
        for detection in fresh[: MAX_FACES - len(self._faces)]:
            first, _ = self._mesh.measure(frame, [region_of_detection(detection)])[0]
            # The detector's square is rough: measured again in the square of its own first points.
            face = Face(self._num_tracks, *self._mesh.measure(frame, [region_of_mesh(first)])[0])
            if face.presence >= MIN_PRESENCE and self._is_new(face.box):
                self._faces.append(face)
                self._num_tracks += 1

    def _is_new(self, box: FloatArray) -> bool:
        """Whether the box is that of none of the followed faces."""
        return all(overlap(box, face.box) <= MIN_OVERLAP for face in self._faces)


def _growth(face: Face, last: Face) -> float:
    """Return the factor, 1 or more, by which the size of a face has grown or shrunk."""
    sizes = sorted((max(face.eye_distance_px, 1e-6), max(last.eye_distance_px, 1e-6)))
    return sizes[1] / sizes[0]


def frontality(points: FloatArray) -> float:
    """1 where the tip of the nose lies midway between the eyes, 0 where it lies above one of their outer corners."""
    across = eye_axis(points)
    length = float(across @ across)
    if length == 0:
        return 0.0
    share = float((points[NOSE_TIP, :2] - points[RIGHT_EYE_OUTER, :2]) @ across) / length
    return float(np.clip(1 - 2 * abs(share - 0.5), 0, 1))


def _thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean grey levels (CUT_THUMBNAIL, CUT_THUMBNAIL) of a few pixels in each part of a frame."""
    pixels = frame.reshape(-1, 3).take(_sampled_pixels(*frame.shape[:2]), axis=0)
    sums = pixels.reshape(CUT_THUMBNAIL, 4, CUT_THUMBNAIL, 12).sum(axis=1, dtype=np.uint16).sum(axis=2, dtype=np.uint16)
    thumbnail: NDArray[np.float32] = sums.astype(np.float32) / 48
    return thumbnail


@lru_cache(maxsize=4)
def _sampled_pixels(height: int, width: int) -> NDArray[np.int64]:
    """Positions of the pixels that a thumbnail is made of, row by row."""
    rows = np.linspace(0, height - 1, 4 * CUT_THUMBNAIL).astype(np.int64)
    columns = np.linspace(0, width - 1, 4 * CUT_THUMBNAIL).astype(np.int64)
    positions: NDArray[np.int64] = (rows[:, None] * width + columns).ravel()
    return positions
