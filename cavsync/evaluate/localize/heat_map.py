"""Heat maps of an image for given audio: the cosine between the pooled audio and each visual patch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FloatArray = NDArray[np.float32]


def cosine_heat(audio: FloatArray, patches: FloatArray, grid: tuple[int, int]) -> FloatArray:
    """Return the cosine of each patch (N, D) with the mean of `audio` (K, D), unit vectors: (rows, columns) in -1..1.

    A zero vector has cosine 0 with everything.
    """
    pooled = audio.mean(axis=0, dtype=np.float64)
    norms = np.linalg.norm(patches.astype(np.float64), axis=1) * np.linalg.norm(pooled)
    cosines = np.divide(patches @ pooled, norms, out=np.zeros(len(patches)), where=norms > 0)
    heat: FloatArray = cosines.reshape(grid).astype(np.float32)
    return heat


def upsample(heat: FloatArray, height: int, width: int) -> FloatArray:
    """Interpolate patch values, which lie at the patches' centres, bilinearly: (rows, columns) -> (height, width)."""
    image = Image.fromarray(np.ascontiguousarray(heat, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def random_heat(random: np.random.Generator, grid: tuple[int, int]) -> FloatArray:
    """Return the random baseline: a uniform value per patch."""
    return random.uniform(size=grid).astype(np.float32)


def centre_heat(grid: tuple[int, int], spread: float = 0.25) -> FloatArray:
    """Return the centre prior: a Gaussian at the middle of the image, its standard deviation a share of the image."""
    rows, columns = ((np.arange(count) + 0.5) / count - 0.5 for count in grid)
    squared = rows[:, None] ** 2 + columns[None, :] ** 2
    return np.exp(-squared / (2 * spread**2)).astype(np.float32)
