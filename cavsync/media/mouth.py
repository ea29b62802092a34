"""What the face path sees of one frame: lip landmarks without the motion of the head, and the aligned mouth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cavsync.media.face import Region, eye_axis

FloatArray = NDArray[np.float64]
# Points of MediaPipe's mesh, each ring in order from the right corner of the mouth along the lower lip.
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
JAW_AND_CHEEKS = (152, 172, 397, 136, 365, 50, 280, 205, 425)
POINTS = OUTER_LIPS + INNER_LIPS + JAW_AND_CHEEKS
NUM_LANDMARK_FEATURES = 2 * len(POINTS) + 3
MOUTH_SIZE = 48
"""Side of the mouth's image in pixels."""
NUM_FEATURES = NUM_LANDMARK_FEATURES + MOUTH_SIZE**2
MOUTH_SIDE = 0.9
"""Side of the mouth's square in distances between the outer corners of the eyes."""
INNER_TOP, INNER_BOTTOM, RIGHT_CORNER, LEFT_CORNER = 13, 14, 61, 291
NOSE_BASE = 2


def frame_features(points: FloatArray, mouth: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Points (468, 3) of a face and its `mouth_image` -> what the face model sees of the frame, (NUM_FEATURES,)."""
    return np.concatenate([lip_features(points), mouth.reshape(-1).astype(np.float32)])


def mouth_image(points: FloatArray, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mouth of a face in an RGB frame (H, W, 3), upright along the eyes, grey (MOUTH_SIZE, MOUTH_SIZE)."""
    crop = mouth_region(points).crop(frame, MOUTH_SIZE)
    grey: NDArray[np.uint8] = np.rint(crop.mean(axis=-1)).astype(np.uint8)
    return grey


def lip_features(points: FloatArray) -> NDArray[np.float32]:
    """Points (468, 2 or more) of one face -> (NUM_LANDMARK_FEATURES,): x and y of POINTS, the area inside the lips, the
    width of the mouth and its opening.

    The unit is the distance between the outer corners of the eyes, the origin lies below the nose and the x axis is
    parallel to the eyes: moving, turning in the image plane or approaching the camera changes nothing.
    """
    across = eye_axis(points)
    unit = max(float(np.linalg.norm(across)), 1e-6)
    cosine, sine = across / unit
    local = (points[:, :2] - points[NOSE_BASE, :2]) @ np.array([[cosine, -sine], [sine, cosine]]) / unit
    width = np.linalg.norm(local[LEFT_CORNER] - local[RIGHT_CORNER])
    opening = np.linalg.norm(local[INNER_TOP] - local[INNER_BOTTOM])
    shape = [ring_area(local[list(INNER_LIPS)]), width, opening]
    return np.concatenate([local[list(POINTS)].ravel(), shape]).astype(np.float32)


def mouth_region(points: FloatArray) -> Region:
    """The square of the frame around the mouth, upright along the eyes; its side follows the size of the face."""
    across = eye_axis(points)
    centre = points[[RIGHT_CORNER, LEFT_CORNER, INNER_TOP, INNER_BOTTOM], :2].mean(axis=0)
    side = MOUTH_SIDE * max(float(np.linalg.norm(across)), 1.0)
    return Region(centre, side, float(np.arctan2(across[1], across[0])))


def ring_area(ring: FloatArray) -> float:
    """Area inside a closed polygon (n, 2), by the shoelace formula."""
    x, y = ring[:, 0], ring[:, 1]
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
