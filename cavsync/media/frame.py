"""Preprocessing of frames for the models: resize of the short side (bicubic, antialiased) and centre crop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RGBArray = NDArray[np.uint8]
REDUCING_GAP = 2.0
"""Frames are reduced by whole numbers to this many times the size at least before they are resized."""


def pillow_image(rgb: RGBArray) -> Image.Image:
    """Return an image with the pixels (H, W, 3); `Image.fromarray` would copy them twice."""
    height, width = rgb.shape[:2]
    return Image.frombuffer("RGB", (width, height), np.ascontiguousarray(rgb), "raw", "RGB", 0, 1)


def resize_center_crop(rgb: RGBArray, size: int) -> RGBArray:
    """Resize the short side to `size` and cut the central square: (H, W, 3) uint8 -> (size, size, 3) uint8.

    Pillow's bicubic filter is antialiased when shrinking. Only the central square is resampled; this equals resizing
    first and cropping afterwards, except for where the crop falls on the source's pixel grid. A square of twice
    `REDUCING_GAP` times the size or more is first reduced by a whole number, each pixel the mean of several: a third of
    a grey level on average, for less than half the cost.
    """
    height, width = rgb.shape[:2]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    image = pillow_image(rgb)
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box, REDUCING_GAP))
