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
