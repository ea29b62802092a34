"""Frames as JPEG: shrunk when written, decoded no larger than needed when read."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cavsync.errors import MediaError
from cavsync.media import resize_center_crop

# The codec itself may decode at a half, a quarter or an eighth of the size, but at no less than this many times the
# wanted size, so that the bicubic filter still halves it at least (Pillow's own `reducing_gap` of 2).
DRAFT_FACTOR = 2
MAX_PIXELS = 8192 * 4320
"""As for frames of untrusted videos."""


def encode_jpeg(rgb: NDArray[np.uint8], short_side_px: int, quality: int) -> bytes:
    """Encode a frame (H, W, 3), shrunk if its short side exceeds `short_side_px`; no frame is enlarged."""
    image = Image.fromarray(rgb)
    shorter = min(image.size)
    if shorter > short_side_px:
        width, height = (max(1, round(side * short_side_px / shorter)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def shrink_jpeg(data: bytes, short_side_px: int, quality: int, where: str) -> bytes:
    """Return the same bytes if they are a JPEG that is small enough, else a smaller JPEG of the image.

    Raises MediaError that names `where` for unreadable data.
    """
    with _opened(data, where) as image:
        rgb = np.asarray(image.convert("RGB"))
        if image.format == "JPEG" and min(image.size) <= short_side_px:
            return data
    return encode_jpeg(rgb, short_side_px, quality)


def decode_jpeg(data: bytes, size: int, where: str) -> NDArray[np.uint8]:
    """Decode the central square of a frame as RGB (3, size, size). Raises MediaError that names `where`."""
    with _opened(data, where) as image:
        image.draft("RGB", (DRAFT_FACTOR * size, DRAFT_FACTOR * size))
        rgb = np.asarray(image.convert("RGB"))
    return resize_center_crop(rgb, size).transpose(2, 0, 1)


def jpeg_size(data: bytes, where: str) -> tuple[int, int]:
    """Return (width, height) of a frame from its header. Raises MediaError that names `where`."""
    with _opened(data, where) as image:
        return image.size


@contextmanager
def _opened(data: bytes, where: str) -> Iterator[Image.Image]:
    """Open an image. Raises MediaError that names `where` for an error inside the block, such as in decoding."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except Image.DecompressionBombError:
        raise MediaError(
            f"{where} declares more than {MAX_PIXELS} pixels, which no frame has: write it again smaller",
            reason="corrupt",
        ) from None
    # For damaged headers, Pillow's decoders raise SyntaxError and ValueError as well as OSError.
    except (OSError, ValueError, SyntaxError, TypeError, struct.error, OverflowError) as error:
        raise MediaError(f"{where} is not a readable frame ({error}): write it again", reason="corrupt") from None
