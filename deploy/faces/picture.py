"""A small picture of a face in its frame, with a box around it, for display."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cavsync.deploy.faces.tracks import Face

MAX_WIDTH_PX, MAX_HEIGHT_PX = 240, 320
MAX_FACE_HEIGHTS = 5.0
"""A frame higher than as many faces is cut to the part around the face, so that the mouth can be seen."""
JPEG_QUALITY = 80
CHOSEN, OTHERS, EDGE = (255, 214, 10), (225, 225, 225), (0, 0, 0)


@dataclass(frozen=True)
class FacePicture:
    """A JPEG of at most `MAX_WIDTH_PX` by `MAX_HEIGHT_PX`, about 10 kB, of the face `track` at a time of the stream."""

    track: int
    time_seconds: float
    jpeg: bytes
    width_px: int
    height_px: int


def face_picture(frame: NDArray[np.uint8], time_seconds: float, faces: Sequence[Face], chosen: Face) -> FacePicture:
    """Picture of a frame, RGB (H, W, 3), in which the chosen face has a yellow box and the other faces a grey one."""
    left, top, right, bottom = _part(frame.shape[1], frame.shape[0], chosen)
    image = Image.fromarray(np.ascontiguousarray(frame[top:bottom, left:right]))
    image.thumbnail((MAX_WIDTH_PX, MAX_HEIGHT_PX), Image.Resampling.BICUBIC, reducing_gap=2.0)
    scale = image.width / (right - left)
    pen = ImageDraw.Draw(image)
    for face in sorted(faces, key=lambda face: face.track == chosen.track):
        box = tuple((face.box - np.array([left, top, left, top])) * scale)
        _draw_box(pen, box, CHOSEN if face.track == chosen.track else OTHERS)
    out = io.BytesIO()
    image.save(out, format="JPEG", quality=JPEG_QUALITY)
    return FacePicture(chosen.track, time_seconds, out.getvalue(), image.width, image.height)


def _draw_box(pen: ImageDraw.ImageDraw, box: tuple[float, ...], colour: tuple[int, int, int]) -> None:
    """Two pixels of the colour on the box, between dark lines that set it off from a light picture."""
    left, top, right, bottom = (round(side) for side in box)
    for grown, line in ((1, EDGE), (0, colour), (-1, colour), (-2, EDGE)):
        if right - left + 2 * grown > 0 and bottom - top + 2 * grown > 0:
            pen.rectangle((left - grown, top - grown, right + grown, bottom + grown), outline=line)


def _part(width: int, height: int, face: Face) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is shown: the frame, or a part of its shape around a small face."""
    left, top, right, bottom = face.box
    share = min(1.0, max(MAX_FACE_HEIGHTS * (bottom - top) / height, (right - left) / width))
    part_width, part_height = max(1, round(width * share)), max(1, round(height * share))
    first_column = int(np.clip((left + right - part_width) / 2, 0, width - part_width))
    first_row = int(np.clip((top + bottom - part_height) / 2, 0, height - part_height))
    return first_column, first_row, first_column + part_width, first_row + part_height
