"""Geometry of one face: the points of its mesh, the head that they belong to, and rotated squares of a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cavsync.media.frame import pillow_image

FloatArray = NDArray[np.float64]
NUM_POINTS = 468
RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 33, 263
MAX_GAP_SECONDS = 0.12
"""Longest time between two frames of a face within which it is interpolated."""
# Points that speaking hardly moves: eyes, brows, nose, forehead, temples and ears.
RIGID_POINTS = (
    *(33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 10, 151, 9, 8),
    *(48, 278, 98, 327, 2, 127, 356, 70, 300, 107, 336, 234, 454),
)
_RIGID = np.array(RIGID_POINTS)
# Where they lie in the mean head of faces of GRID and HDTF, which is symmetric, seen from the front, and one unit wide
# between the outer corners of the eyes: x to the left of the head, y down, z away from the camera.
# fmt: off
MEAN_HEAD = np.array((
    (-0.5000, -0.0706, 0.0978),
    (-0.1917, -0.0497, 0.0402),
    (0.1917, -0.0497, 0.0402),
    (0.5000, -0.0706, 0.0978),
    (0.0000, -0.1009, -0.1496),
    (0.0000, -0.0054, -0.1894),
    (0.0000, 0.0814, -0.2376),
    (0.0000, 0.1628, -0.2912),
    (0.0000, 0.2494, -0.3459),
    (0.0000, 0.3506, -0.3627),
    (0.0000, -0.6375, -0.1511),
    (0.0000, -0.4612, -0.1745),
    (0.0000, -0.2852, -0.1861),
    (0.0000, -0.1884, -0.1621),
    (-0.2128, 0.3823, -0.1591),
    (0.2128, 0.3823, -0.1591),
    (-0.1925, 0.4500, -0.0642),
    (0.1925, 0.4500, -0.0642),
    (0.0000, 0.4804, -0.1511),
    (-0.7722, -0.0740, 0.6539),
    (0.7722, -0.0740, 0.6539),
    (-0.6315, -0.2398, 0.0907),
    (0.6315, -0.2398, 0.0907),
    (-0.1627, -0.3007, -0.1799),
    (0.1627, -0.3007, -0.1799),
    (-0.7627, 0.0795, 0.7212),
    (0.7627, 0.0795, 0.7212),
))
# fmt: on


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
        # Large regions are sampled from a smaller frame, so that nothing between the samples is lost.
        factor = int(step) if step > 2 else 1
        along_x, along_y = self.side * math.cos(self.angle), self.side * math.sin(self.angle)
        first_x = float(self.centre[0]) - (along_x - along_y) / 2
        first_y = float(self.centre[1]) - (along_y + along_x) / 2
        left, right = _part(first_x, (along_x, -along_y), factor, frame.shape[1])
        top, bottom = _part(first_y, (along_y, along_x), factor, frame.shape[0])
        if left >= right or top >= bottom:
            return np.zeros((size, size, 3), np.uint8)
        image = pillow_image(frame, (left, top, right, bottom))
        if factor > 1:
            image = image.reduce(factor)
        # Pixel centres to pixel centres; Pillow's own half pixel is part of its transform.
        cosine, sine = along_x / size / factor, along_y / size / factor
        coefficients = (cosine, -sine, (first_x - left) / factor, sine, cosine, (first_y - top) / factor)
        return np.asarray(
            image.transform((size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
        )


def _part(first: float, sides: tuple[float, float], factor: int, length: int) -> tuple[int, int]:
    """The part of a frame's rows or columns that a square touches, and a sample more: first and end.

    first, sides: the square's first corner, and the steps from it along its two sides.
    factor: the first is a multiple of it, so that the part is reduced as the whole frame would be.
    length: number of rows or columns of the frame.
    """
    corners = (first, first + sides[0], first + sides[1], first + sides[0] + sides[1])
    low = (math.floor(min(corners) / factor) - 1) * factor
    high = (math.ceil(max(corners) / factor) + 1) * factor
    return min(max(low, 0), length), min(max(high, 0), length)


def eye_axis(points: FloatArray) -> FloatArray:
    """From the outer corner of the right eye to that of the left one (2,), of a mesh (468, 2 or more)."""
    axis: FloatArray = points[LEFT_EYE_OUTER, :2] - points[RIGHT_EYE_OUTER, :2]
    return axis


def frontal(points: FloatArray) -> FloatArray:
    """Points of faces (..., 468, 3) in pixels -> the same in the axes and the unit of `MEAN_HEAD`: where a head is, how
    large and how it is turned changes nothing (least squares over RIGID_POINTS; Umeyama 1991)."""
    rigid = points[..., _RIGID, :]
    centre = rigid.mean(axis=-2, keepdims=True)
    spread = rigid - centre
    left, sizes, right = np.linalg.svd(spread.swapaxes(-1, -2) @ MEAN_HEAD)
    # A reflection would fit a flat face as well.
    signs = np.ones_like(sizes)
    signs[..., 2] = np.where(np.linalg.det(left @ right) < 0, -1.0, 1.0)
    scale = (sizes * signs).sum(axis=-1) / np.maximum((spread**2).sum(axis=(-1, -2)), 1e-12)
    turn = left * signs[..., None, :] @ right
    local: FloatArray = scale[..., None, None] * (points - centre) @ turn
    return local
