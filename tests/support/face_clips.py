"""Frames for the bundle of `fake_faces`: halves that are as bright as mouths are open, and black where no face is."""

from __future__ import annotations

from typing import Any

import numpy as np
from fake_faces import BRIGHT, DARK
from sync_clips import course

Array = np.ndarray[Any, Any]
HEIGHT, WIDTH = 96, 192
LEFT, RIGHT = (0.25, 0.5), (0.75, 0.5)
MIDDLE = (0.5, 0.5)


def speaking(times: Array, seed: int = 0) -> Array:
    """Brightness, in grey levels, of a mouth that follows the course of this seed."""
    return np.round(255 * (DARK + (BRIGHT - DARK) * course(times, seed)))


def closed(times: Array) -> Array:
    """Brightness of a face whose mouth stays closed."""
    return np.full(len(times), round(255 * DARK), dtype=float)


def absent(times: Array) -> Array:
    """No face."""
    return np.zeros(len(times))


def frames_of(*levels: Array, width: int = WIDTH, height: int = HEIGHT) -> Array:
    """Frames (n, height, width, 3) of equal columns, one for each list of brightnesses."""
    frames = np.zeros((len(levels[0]), height, width, 3), np.uint8)
    for part, level in zip(np.array_split(np.arange(width), len(levels)), levels, strict=True):
        frames[:, :, part] = np.asarray(level)[:, None, None, None]
    return frames
