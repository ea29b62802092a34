"""What the face path sees of one frame: lip landmarks without the motion of the head, and the aligned mouth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cavsync.media.face import Region, eye_axis, frontal

FloatArray = NDArray[np.float64]
# Points of MediaPipe's mesh, each ring in order from the right corner of the mouth along the lower lip.
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
JAW_AND_CHEEKS = (152, 172, 397, 136, 365, 50, 280, 205, 425)
POINTS = OUTER_LIPS + INNER_LIPS + JAW_AND_CHEEKS
NUM_COORDINATES = 3 * len(POINTS)
NUM_LANDMARK_FEATURES = NUM_COORDINATES + 3
MOUTH_SIZE = 48
"""Side of the mouth's image in pixels."""
NUM_FEATURES = NUM_LANDMARK_FEATURES + MOUTH_SIZE**2
MOUTH_SIDE = 0.9
"""Side of the mouth's square in distances between the outer corners of the eyes."""
INNER_TOP, INNER_BOTTOM, RIGHT_CORNER, LEFT_CORNER = 13, 14, 61, 291
# Places in POINTS of the ring inside the lips, of the points after those, and of the ends of width and opening.
_POINTS = np.array(POINTS)
_INNER_PLACES = np.array([POINTS.index(point) for point in INNER_LIPS])
_NEXT_PLACES = np.roll(_INNER_PLACES, -1)
_ENDS = [
    (POINTS.index(one), POINTS.index(other)) for one, other in ((RIGHT_CORNER, LEFT_CORNER), (INNER_TOP, INNER_BOTTOM))
]


def frame_features(points: FloatArray, mouths: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Points (n, 468, 3) of a face in frames and the `mouth_image` of each (n, MOUTH_SIZE, MOUTH_SIZE) -> what the face
    model sees of the frames, (n, NUM_FEATURES)."""
    return np.concatenate([lip_features(points), mouths.reshape(len(mouths), -1).astype(np.float32)], axis=1)


def mouth_image(points: FloatArray, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mouth of a face in an RGB frame (H, W, 3), upright along the eyes, grey (MOUTH_SIZE, MOUTH_SIZE)."""
    crop = mouth_region(points).crop(frame, MOUTH_SIZE)
    sums = crop[..., 0].astype(np.uint16) + crop[..., 1] + crop[..., 2]
    # The mean of three numbers, rounded.
    grey: NDArray[np.uint8] = ((2 * sums + 3) // 6).astype(np.uint8)
    return grey


def lip_features(points: FloatArray) -> NDArray[np.float32]:
    """Points of faces (..., 468, 3) -> (..., NUM_LANDMARK_FEATURES): x, y and z of POINTS, the area inside the lips,
    the width of the mouth and its opening, all of the head seen from the front (see `frontal`)."""
    landmarks = frontal(points)[..., _POINTS, :]
    flat = landmarks.reshape(*points.shape[:-2], NUM_COORDINATES)
    features: NDArray[np.float32] = np.concatenate([flat, lip_shape(landmarks)], axis=-1).astype(np.float32)
    return features


def lip_shape(landmarks: FloatArray) -> FloatArray:
    """Landmarks POINTS of faces (..., P, 3) -> area inside the lips, width of the mouth and its opening (..., 3)."""
    ring, after = landmarks[..., _INNER_PLACES, :2], landmarks[..., _NEXT_PLACES, :2]
    # Area of a polygon, by the shoelace formula.
    area = np.abs((ring[..., 0] * after[..., 1] - ring[..., 1] * after[..., 0]).sum(axis=-1)) / 2
    width, opening = (
        np.linalg.norm(landmarks[..., one, :2] - landmarks[..., other, :2], axis=-1) for one, other in _ENDS
    )
    return np.stack([area, width, opening], axis=-1)


def mouth_region(points: FloatArray) -> Region:
    """The square of the frame around the mouth, upright along the eyes; its side follows the size of the face."""
    across = eye_axis(points)
    centre = points[[RIGHT_CORNER, LEFT_CORNER, INNER_TOP, INNER_BOTTOM], :2].mean(axis=0)
    side = MOUTH_SIDE * max(float(np.linalg.norm(across)), 1.0)
    return Region(centre, side, float(np.arctan2(across[1], across[0])))
