"""Images for people: a colour map, images side by side, PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cavsync.atomic import atomic_file

RGBArray = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

# From cold to hot: dark blue, purple, orange, yellow. Lightness rises throughout, so grey copies keep the order.
_STOPS = np.array([(12, 8, 60), (110, 20, 130), (215, 70, 70), (250, 155, 40), (252, 250, 120)], dtype=np.float64)
GAP_PIXELS = 4


def colour_map(values: FloatArray) -> NDArray[np.float64]:
    """Values in 0..1 (clipped) -> RGB in 0..255, (..., 3)."""
    places = np.linspace(0, 1, len(_STOPS))
    clipped = np.clip(values, 0, 1)
    return np.stack([np.interp(clipped, places, _STOPS[:, channel]) for channel in range(3)], axis=-1)


def side_by_side(images: list[RGBArray]) -> RGBArray:
    """Images of one height in a row, with gaps."""
    gap = np.full((len(images[0]), GAP_PIXELS, 3), 255, dtype=np.uint8)
    parts = [part for image in images for part in (image, gap)]
    return np.concatenate(parts[:-1], axis=1)


def save_image(image: RGBArray, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    with atomic_file(path) as stream:
        Image.fromarray(image).save(stream, format="PNG")
