"""The mean head with a mouth that opens: what the fake faces of other files are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cavsync.media.face import MEAN_HEAD, NUM_POINTS, RIGID_POINTS
from cavsync.media.mouth import INNER_LIPS, OUTER_LIPS

CLOSED, OPENED = 0.04, 1 / 3
"""Distance of the inner lips of a closed mouth, and how much it grows until the mouth is open."""
NOSE_TIP = 1
JAW_AND_CHEEKS = {
    (152, 152): (0.0, 1.2, 0.1),
    (172, 397): (0.55, 0.85, 0.4),
    (136, 365): (0.45, 0.95, 0.3),
    (50, 280): (0.45, 0.4, 0.0),
    (205, 425): (0.4, 0.55, -0.05),
}


def head_points(opening: float) -> NDArray[np.float64]:
    """A symmetric head (468, 3) seen from the front, in the axes and the unit of MEAN_HEAD, whose mouth is `opening`
    (0 to 1) open: points are linear in it. Points that no feature uses lie in the middle of the head."""
    points = np.zeros((NUM_POINTS, 3))
    points[list(RIGID_POINTS)] = MEAN_HEAD
    points[NOSE_TIP] = (0.0, 0.3, -0.37)
    for (right, left), (x, y, z) in JAW_AND_CHEEKS.items():
        points[right], points[left] = (-x, y, z), (x, y, z)
    gap = (CLOSED + OPENED * opening) / 2
    for ring, width, height in ((OUTER_LIPS, 0.33, gap + 0.12), (INNER_LIPS, 0.27, gap)):
        angles = np.pi - 2 * np.pi * np.arange(len(ring)) / len(ring)
        lips = [width * np.cos(angles), 0.75 + height * np.sin(angles), 0.25 * np.abs(np.cos(angles)) - 0.25]
        points[list(ring)] = np.stack(lips, axis=1)
    return points
