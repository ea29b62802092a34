"""Random changes of a window's lip landmarks and mouth images, drawn once per window; its timing stays.

`Augmentation` has the changes that face runs share with others: mirror, tempo, and those of the audio.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt

from cavsync.media.mouth import (
    INNER_BOTTOM,
    INNER_LIPS,
    INNER_TOP,
    LEFT_CORNER,
    MOUTH_SIZE,
    OUTER_LIPS,
    POINTS,
    RIGHT_CORNER,
)

Array = NDArray[np.float32]
NUM_COORDINATES = 2 * len(POINTS)
JAW_MIRROR = {152: 152, 172: 397, 136: 365, 50: 280, 205: 425}


class FaceAugmentation(BaseModel):
    """Strengths of the changes; lengths are in distances between the eyes. The defaults change nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    landmark_offset: NonNegativeFloat = 0.0
    """Standard deviation of a shift of each landmark that is the same in all frames: other mouths."""
    landmark_noise: NonNegativeFloat = 0.0
    """Largest standard deviation of noise of each landmark in each frame: what the finder's points do."""
    landmark_scale: NonNegativeFloat = 0.0
    """Standard deviation of the change of size, as a share."""
    landmark_stretch: NonNegativeFloat = 0.0
    """Standard deviation of the change of width against height, as a share: heads that are turned."""
    landmark_rotation_degrees: NonNegativeFloat = 0.0
    """Standard deviation of a rotation."""
    mouth_shift_px: NonNegativeInt = 0
    """Largest shift of the mouth's image, across and down."""
    mouth_contrast: NonNegativeFloat = 0.0
    """Standard deviation of the change of contrast, as a share."""
    mouth_brightness_levels: NonNegativeFloat = 0.0
    """Standard deviation of the change of brightness, in grey levels of 256."""
    mouth_noise_levels: NonNegativeFloat = 0.0
    """Largest standard deviation of the noise of each pixel, in grey levels of 256."""


def mirrored_points() -> NDArray[np.int64]:
    """Return for each of POINTS the index in POINTS of its mirror image."""
    pairs = JAW_MIRROR | {right: left for left, right in JAW_MIRROR.items()}
    for ring in (OUTER_LIPS, INNER_LIPS):
        # A ring begins at the right corner of the mouth, and the left one is half a ring away.
        half = len(ring) // 2
        pairs |= {point: ring[(half - place) % len(ring)] for place, point in enumerate(ring)}
    return np.array([POINTS.index(pairs[point]) for point in POINTS])


MIRRORED = mirrored_points()
INNER = [POINTS.index(point) for point in INNER_LIPS]
CORNERS = [POINTS.index(point) for point in (RIGHT_CORNER, LEFT_CORNER)]
MIDDLES = [POINTS.index(point) for point in (INNER_TOP, INNER_BOTTOM)]


def change_landmarks(
    landmarks: Array, wanted: FaceAugmentation, is_mirrored: bool, random: np.random.Generator
) -> Array:
    """Change lip features (T, NUM_LANDMARK_FEATURES); area, width and opening follow the changed points."""
    points = landmarks[:, :NUM_COORDINATES].reshape(len(landmarks), len(POINTS), 2).astype(np.float64)
    if is_mirrored:
        points = points[:, MIRRORED] * [-1, 1]
    angle = np.deg2rad(random.normal(0, wanted.landmark_rotation_degrees))
    size, stretch = 1 + random.normal(0, wanted.landmark_scale), 1 + random.normal(0, wanted.landmark_stretch)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = points * [size * stretch, size] @ rotation
    points = points + random.normal(0, wanted.landmark_offset, (1, len(POINTS), 2))
    points = points + random.normal(0, random.uniform(0, wanted.landmark_noise), points.shape)
    return with_shape(points)


def with_shape(points: NDArray[np.float64]) -> Array:
    """Return lip features (T, NUM_LANDMARK_FEATURES) of points (T, P, 2), as `lip_features` has them."""
    ring = points[:, INNER]
    after = np.roll(ring, -1, axis=1)
    area = np.abs((ring[..., 0] * after[..., 1] - ring[..., 1] * after[..., 0]).sum(1)) / 2
    width, opening = (np.linalg.norm(points[:, pair[0]] - points[:, pair[1]], axis=-1) for pair in (CORNERS, MIDDLES))
    shape = np.stack([area, width, opening], axis=1)
    features: Array = np.concatenate([points.reshape(len(points), -1), shape], axis=1).astype(np.float32)
    return features


def change_mouths(mouths: Array, wanted: FaceAugmentation, is_mirrored: bool, random: np.random.Generator) -> Array:
    """Change mouth images (T, MOUTH_SIZE^2) of grey levels 0..255."""
    images = mouths.reshape(-1, MOUTH_SIZE, MOUTH_SIZE)
    if is_mirrored:
        images = images[:, :, ::-1]
    limit = wanted.mouth_shift_px
    across, down = random.integers(-limit, limit + 1, 2)
    padded = np.pad(images, ((0, 0), (limit, limit), (limit, limit)), mode="edge")
    top, left = limit + down, limit + across
    images = padded[:, top : top + MOUTH_SIZE, left : left + MOUTH_SIZE]
    contrast, brightness = random.normal(1, wanted.mouth_contrast), random.normal(0, wanted.mouth_brightness_levels)
    images = (images - 128) * contrast + (128 + brightness)
    if wanted.mouth_noise_levels:
        images = images + random.uniform(0, wanted.mouth_noise_levels) * random.standard_normal(
            images.shape, np.float32
        )
    return np.clip(images, 0, 255).reshape(len(mouths), -1).astype(np.float32)
