"""Heat maps over pictures, for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cavsync.evaluate.localize.heat_map import upsample

RGBArray = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

# From cold to hot: dark blue, purple, orange, yellow. Lightness rises all the way, so grey copies keep the order.
_STOPS = np.array([(12, 8, 60), (110, 20, 130), (215, 70, 70), (250, 155, 40), (252, 250, 120)], dtype=np.float64)
MAX_COVER = 0.7
GAP_PIXELS = 4


def colour_map(values: FloatArray) -> NDArray[np.float64]:
    """Values in 0..1 (clipped) -> RGB in 0..255, (..., 3)."""
    places = np.linspace(0, 1, len(_STOPS))
    clipped = np.clip(values, 0, 1)
    return np.stack([np.interp(clipped, places, _STOPS[:, channel]) for channel in range(3)], axis=-1)


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


def side_by_side(pictures: list[RGBArray]) -> RGBArray:
    """Pictures of one height in a row, with gaps."""
    gap = np.full((len(pictures[0]), GAP_PIXELS, 3), 255, dtype=np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=1)


def save_picture(picture: RGBArray, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        Image.fromarray(picture).save(part, format="PNG")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask that touch another one outside it."""
    padded = np.pad(mask, 1, mode="edge")
    surrounded = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~surrounded
