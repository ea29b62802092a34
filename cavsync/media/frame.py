"""Frames as the models see them: short side resized (bicubic, antialiased), centre-cropped square."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RGBArray = NDArray[np.uint8]


def resize_center_crop(rgb: RGBArray, size: int) -> RGBArray:
    """Resize the short side to `size` and cut the central square: (H, W, 3) uint8 -> (size, size, 3) uint8.

    Pillow's bicubic filter is antialiased when it shrinks. Only the central square is resampled: that gives the same
    pixels as resizing first and cropping afterwards, up to the placement of the crop on the source's pixel grid.
    """
    height, width = rgb.shape[:2]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    image = Image.fromarray(rgb)
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))
