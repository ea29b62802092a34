"""The face mesh: 468 points of one face in a rotated square region of the frame (arXiv 1907.06724)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cavsync.deploy.faces.detector import Detection, sigmoid
from cavsync.deploy.runtime.engines import Engine

FloatArray = NDArray[np.float64]
MESH_SIZE = 192
NUM_POINTS = 468
# A region is this much wider than the face it is to hold.
MARGIN = 1.5
RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 33, 263


@dataclass(frozen=True)
class Region:
    """A rotated square of the frame: centre in pixels, length of a side in pixels, angle of its x axis in radians."""

    centre: FloatArray
    side: float
    angle: float

    def to_frame(self, points: FloatArray) -> FloatArray:
        """Points (n, 2) in shares of the square -> pixels of the frame."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        local = (points - 0.5) * self.side
        placed: FloatArray = self.centre + local @ np.array([[cosine, sine], [-sine, cosine]])
        return placed

    def crop(self, frame: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """The square as `size` x `size` pixels (bilinear); black outside the frame."""
        step = self.side / size
        cosine, sine = step * np.cos(self.angle), step * np.sin(self.angle)
        # Pixel centres to pixel centres; Pillow's own half pixel is part of its transform.
        origin = self.to_frame(np.zeros((1, 2)))[0]
        coefficients = (cosine, -sine, origin[0], sine, cosine, origin[1])
        image = Image.fromarray(frame)
        if step > 2:
            # Large regions are sampled from a smaller frame, so that nothing between the samples is lost.
            factor = int(step)
            image = image.reduce(factor)
            coefficients = tuple(value / factor for value in coefficients)
        return np.asarray(
            image.transform((size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
        )


def eye_axis(points: FloatArray) -> FloatArray:
    """From the outer corner of the right eye to that of the left one (2,), of a mesh (468, 2 or more)."""
    axis: FloatArray = points[LEFT_EYE_OUTER, :2] - points[RIGHT_EYE_OUTER, :2]
    return axis


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
