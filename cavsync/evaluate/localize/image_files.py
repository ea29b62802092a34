"""Read images and masks of a localisation data set."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cavsync.errors import MediaError

Pixel = TypeVar("Pixel", np.uint8, np.bool_)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return RGB (H, W, 3). Raises MediaError for a missing or unreadable image."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise MediaError(f"{path} is missing: download the data set again", reason="missing") from None
    except (OSError, UnidentifiedImageError) as error:
        raise MediaError(f"{path} is not a readable image ({error}): download it again", reason="corrupt") from None


def nearest_center_crop(image: NDArray[Pixel], size: int) -> NDArray[Pixel]:
    """Do the same as `resize_center_crop` with nearest neighbours, for labels: (H, W[, C]) -> (size, size[, C])."""
    height, width = image.shape[:2]
    side = min(height, width)
    steps = (np.arange(size) + 0.5) * side / size
    rows, columns = ((steps + (whole - side) / 2).astype(int) for whole in (height, width))
    cropped: NDArray[Pixel] = image[rows][:, columns]
    return cropped
