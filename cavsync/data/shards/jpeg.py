"""Frames as JPEG: shrunk when they are written, decoded no larger than needed when they are read."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cavsync.errors import MediaError
from cavsync.media import resize_center_crop

# A frame of this many times the wanted size is decoded at a half, a quarter or an eighth by the codec itself; what
# is left to the bicubic filter is then still at least half of it (Pillow's own `reducing_gap` of 2).
DRAFT_FACTOR = 2


def encode_jpeg(rgb: NDArray[np.uint8], short_side_px: int, quality: int) -> bytes:
    """JPEG of a frame (H, W, 3) whose short side is at most `short_side_px`: larger ones shrink, none grows."""
    image = Image.fromarray(rgb)
    shorter = min(image.size)
    if shorter > short_side_px:
        width, height = (max(1, round(side * short_side_px / shorter)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def shrink_jpeg(data: bytes, short_side_px: int, quality: int, where: str) -> bytes:
    """The same bytes where the frame is a JPEG that is small enough, else a smaller JPEG. MediaError: unreadable."""
    with _opened(data, where) as image:
        rgb = _pixels(image, where)
        if image.format == "JPEG" and min(image.size) <= short_side_px:
            return data
    return encode_jpeg(rgb, short_side_px, quality)


def decode_jpeg(data: bytes, size: int, where: str) -> NDArray[np.uint8]:
    """The frame as models see it, (3, size, size). Raises MediaError that names `where`."""
    with _opened(data, where) as image:
        image.draft("RGB", (DRAFT_FACTOR * size, DRAFT_FACTOR * size))
        rgb = _pixels(image, where)
    return resize_center_crop(rgb, size).transpose(2, 0, 1)


def jpeg_size(data: bytes, where: str) -> tuple[int, int]:
    """(width, height) of a frame, from its header."""
    with _opened(data, where) as image:
        return image.size


def _opened(data: bytes, where: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise _corrupt(where, error) from None


def _pixels(image: Image.Image, where: str) -> NDArray[np.uint8]:
    try:
        return np.asarray(image.convert("RGB"))
    # Pillow's decoders answer damaged headers with SyntaxError and ValueError beside OSError.
    except (OSError, ValueError, SyntaxError) as error:
        raise _corrupt(where, error) from None


def _corrupt(where: str, error: Exception) -> MediaError:
    return MediaError(f"{where} is no readable frame ({error}): write it again", reason="corrupt")
