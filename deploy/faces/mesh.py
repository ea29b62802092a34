"""The face mesh: 468 points of one face in a rotated square region of the frame (arXiv 1907.06724)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.faces.detector import Detection, sigmoid
from cavsync.deploy.runtime.engines import Engine
from cavsync.media.face import NUM_POINTS, Region, eye_axis

FloatArray = NDArray[np.float64]
MESH_SIZE = 192
# A region is this much wider than the face it is to hold.
MARGIN = 1.5


def region_of_detection(face: Detection) -> Region:
    """The square around a detected face, upright along its eyes."""
    right_eye, left_eye = face.keypoints[0], face.keypoints[1]
    corners = face.box.reshape(2, 2)
    return _region(corners.mean(axis=0), float((corners[1] - corners[0]).max()) * MARGIN, left_eye - right_eye)


def region_of_mesh(points: FloatArray) -> Region:
    """The square around a mesh (468, 2 or more) in pixels of the frame, upright along its eyes."""
    across = eye_axis(points)
    angle = np.arctan2(across[1], across[0])
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    upright = points[:, :2] @ turn
    low, high = upright.min(axis=0), upright.max(axis=0)
    return _region((low + high) / 2 @ turn.T, float((high - low).max()) * MARGIN, across)


def _region(centre: FloatArray, side: float, across: FloatArray) -> Region:
    return Region(np.asarray(centre, dtype=np.float64), max(side, 1.0), float(np.arctan2(across[1], across[0])))


class FaceMesh:
    """Measures faces in regions of a frame.

    Args:
        graph: uint8 RGB (B, 192, 192, 3) -> `points` (B, 1405): x, y and z of each point in pixels, and the logit of
            the presence of a face.
    """

    def __init__(self, graph: Engine) -> None:
        self._graph = graph

    def measure(self, frame: NDArray[np.uint8], regions: list[Region]) -> list[tuple[FloatArray, float]]:
        """For each region the points (468, 3), x and y in pixels of the frame and depth in the same unit, and the
        probability that the region holds a face."""
        if not regions:
            return []
        crops = np.stack([region.crop(frame, MESH_SIZE) for region in regions])
        found = []
        for region, values in zip(regions, self._graph.run(crops, "points").astype(np.float64), strict=True):
            shares = values[:-1].reshape(NUM_POINTS, 3) / MESH_SIZE
            points = np.concatenate([region.to_frame(shares[:, :2]), shares[:, 2:] * region.side], axis=1)
            found.append((points, float(sigmoid(values[-1]))))
        return found
