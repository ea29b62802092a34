"""Random changes of a window's lip landmarks and mouth images, drawn once per window; its timing stays.

`Augmentation` has the changes that face runs share with others: mirror, tempo, and those of the audio.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt

from cavsync.media.mouth import INNER_LIPS, MOUTH_SIZE, NUM_COORDINATES, OUTER_LIPS, POINTS, lip_shape

Array = NDArray[np.float32]
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
    landmark_motion: NonNegativeFloat = 0.0
    """Standard deviation of the logarithm of the change of how far the landmarks move: other ways of speaking."""
    other_mouth: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Largest share by which a mouth takes the shape at rest of another clip's."""
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


def change_landmarks(
    landmarks: Array, other: Array, wanted: FaceAugmentation, is_mirrored: bool, random: np.random.Generator
) -> Array:
    """Change lip features (T, NUM_LANDMARK_FEATURES); area, width and opening follow the changed points.

    other: lip features (NUM_LANDMARK_FEATURES,) of another mouth, the mean of a clip.
    """
    points, face = _points(landmarks), _points(other[None])[0]
    rest = points.mean(axis=0)
    motion = (points - rest) * np.exp(random.normal(0, wanted.landmark_motion))
    rest = rest + random.uniform(0, wanted.other_mouth) * (face - rest)
    points = (rest + motion) * (1 + random.normal(0, wanted.landmark_scale))
    if is_mirrored:
        points = points[:, MIRRORED] * [-1, 1, 1]
    points = points + random.normal(0, wanted.landmark_offset, (1, *points.shape[1:]))
    points = points + random.normal(0, random.uniform(0, wanted.landmark_noise), points.shape)
    changed: Array = np.concatenate([points.reshape(len(points), -1), lip_shape(points)], axis=1).astype(np.float32)
    return changed


def _points(landmarks: Array) -> NDArray[np.float64]:
    return landmarks[:, :NUM_COORDINATES].reshape(len(landmarks), len(POINTS), 3).astype(np.float64)


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
