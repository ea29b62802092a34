"""Checks of what is pushed into a scorer: frames and timestamps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cavsync.errors import MediaError


def check_frame(frame: Any) -> None:
    """Check a frame that is pushed; MediaError unless it is RGB (H, W, 3) uint8."""
    is_frame = isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
    if not is_frame or 0 in frame.shape:
        found = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise MediaError(f"a frame is {found}: push RGB frames as uint8 arrays of shape (height, width, 3)")


def checked_seconds(pts_seconds: Any) -> float:
    """Return a timestamp as a float; MediaError unless it is a finite number."""
    try:
        seconds = float(pts_seconds)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    # Beyond 2^40 s, a float cannot represent the distance between two samples.
    if not abs(seconds) < 2.0**40:
        raise MediaError(f"the timestamp is {pts_seconds!r}: give seconds within ±2^40")
    return seconds
