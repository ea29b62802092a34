"""Preprocessing of frames for the models: resize of the short side (bicubic, antialiased) and centre crop."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RGBArray = NDArray[np.uint8]
REDUCING_GAP = 2.0
"""Frames are reduced by whole numbers to this many times the size at least before they are resized."""


def pillow_image(rgb: RGBArray, box: tuple[int, int, int, int] | None = None) -> Image.Image:
    """Return an image with the pixels (H, W, 3), or those of a part: left, top, right and bottom.

    `Image.fromarray` would copy them twice, and `Image.frombuffer` paint a black image first and take no part.
    """
    rgb = np.ascontiguousarray(rgb)
    height, width = rgb.shape[:2]
    left, top, right, bottom = box or (0, 0, width, height)
    image = Image.new("RGB", (right - left, bottom - top), None)
    # Rows of the part lie as far apart as those of the whole.
    image.frombytes(rgb.reshape(-1)[3 * (top * width + left) :], "raw", "RGB", 3 * width, 1)
    return image


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
    scale = side / size
    # The filter reaches two of its pixels beyond the square. Only for what is reduced first, because Pillow's rounding
    # depends on the size of the image that it resizes.
    reach = 2 * scale + 1 if scale >= 2 * REDUCING_GAP else max(height, width)
    first_column, first_row = max(0, int(left - reach)), max(0, int(top - reach))
    last_column, last_row = (min(end, math.ceil(end - first + reach)) for end, first in ((width, left), (height, top)))
    image = pillow_image(rgb, (first_column, first_row, last_column, last_row))
    left, top = left - first_column, top - first_row
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box, REDUCING_GAP))
