"""Heat maps over pictures, for people."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cavsync.evaluate.localize.heat_map import upsample
from cavsync.evaluate.results.images import RGBArray, colour_map

FloatArray = NDArray[np.float32]
MAX_COVER = 0.7


def overlay(picture: RGBArray, heat: FloatArray, low: float, high: float) -> RGBArray:
    """The heat map (rows, columns) over a picture (H, W, 3); `low` and `high` are its coldest and hottest value.

    Cold places keep the picture, hot ones are covered up to MAX_COVER.
    """
    full = upsample(heat, *picture.shape[:2])
    warm = np.clip((full - low) / (high - low), 0, 1) if high > low else np.zeros_like(full)
    cover = (MAX_COVER * warm)[..., None]
    return np.rint(picture * (1 - cover) + colour_map(warm) * cover).astype(np.uint8)


def outline(picture: RGBArray, mask: NDArray[np.bool_]) -> RGBArray:
    """The picture with the mask's edge drawn in white over black, one pixel each."""
    drawn = picture.copy()
    inner = _edge(mask)
    drawn[_edge(mask | inner) | _edge(~mask)] = 0
    drawn[inner] = 255
    return drawn


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask that touch another one outside it."""
    padded = np.pad(mask, 1, mode="edge")
    surrounded = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~surrounded
