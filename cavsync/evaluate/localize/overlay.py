"""Heat maps drawn over images, for display."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cavsync.evaluate.localize.heat_map import upsample
from cavsync.evaluate.results.images import RGBArray, colour_map

FloatArray = NDArray[np.float32]
MAX_COVER = 0.7


def overlay(image: RGBArray, heat: FloatArray, low: float, high: float) -> RGBArray:
    """Draw a heat map (rows, columns) over an image (H, W, 3); `low` and `high` are the ends of the colour scale.

    Opacity rises from 0 at `low` to MAX_COVER at `high`.
    """
    full = upsample(heat, *image.shape[:2])
    scaled = np.clip((full - low) / (high - low), 0, 1) if high > low else np.zeros_like(full)
    cover = (MAX_COVER * scaled)[..., None]
    return np.rint(image * (1 - cover) + colour_map(scaled) * cover).astype(np.uint8)


def outline(image: RGBArray, mask: NDArray[np.bool_]) -> RGBArray:
    """Draw the mask's edge on an image as a white line with a black border, one pixel each."""
    drawn = image.copy()
    inner = _edge(mask)
    drawn[_edge(mask | inner) | _edge(~mask)] = 0
    drawn[inner] = 255
    return drawn


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of the mask with a neighbour outside it."""
    padded = np.pad(mask, 1, mode="edge")
    surrounded = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~surrounded
