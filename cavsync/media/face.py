"""Geometry of one face: the points of its mesh, and rotated squares of a frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FloatArray = NDArray[np.float64]
NUM_POINTS = 468
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
        # Large regions are sampled from a smaller frame, so that nothing between the samples is lost.
        factor = int(step) if step > 2 else 1
        left, top, right, bottom = self._box(frame, factor)
        if left >= right or top >= bottom:
            return np.zeros((size, size, 3), np.uint8)
        image = Image.fromarray(np.ascontiguousarray(frame[top:bottom, left:right]))
        if factor > 1:
            image = image.reduce(factor)
        # Pixel centres to pixel centres; Pillow's own half pixel is part of its transform.
        x, y = (self.to_frame(np.zeros((1, 2)))[0] - (left, top)) / factor
        cosine, sine = step / factor * np.cos(self.angle), step / factor * np.sin(self.angle)
        coefficients = (cosine, -sine, x, sine, cosine, y)
        return np.asarray(
            image.transform((size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
        )

    def _box(self, frame: NDArray[np.uint8], factor: int) -> tuple[int, int, int, int]:
        """The part of the frame that has the square and what surrounds it by a sample: left, top, right and bottom.

        Left and top are multiples of `factor`, so that the part is reduced as the whole frame would be.
        """
        corners = self.to_frame(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])) / factor
        low, high = np.floor(corners.min(axis=0)) - 1, np.ceil(corners.max(axis=0)) + 1
        places = np.concatenate([low, high]).reshape(2, 2) * factor
        (left, top), (right, bottom) = np.clip(places, 0, [frame.shape[1], frame.shape[0]]).astype(int).tolist()
        return left, top, right, bottom


def eye_axis(points: FloatArray) -> FloatArray:
    """From the outer corner of the right eye to that of the left one (2,), of a mesh (468, 2 or more)."""
    axis: FloatArray = points[LEFT_EYE_OUTER, :2] - points[RIGHT_EYE_OUTER, :2]
    return axis
