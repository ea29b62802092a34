"""Mean optical flow from frame to frame by Farneback's method, and its peaks, as AV-Align takes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_FLOW_PX = 0.1
"""Peaks below are noise of still pictures."""


class FlowMeter:
    """Push the frames of a clip in order; `flow_px` is the mean length of the flow from the frame before to each.

    The first frame has the flow to the second, and a frame of another size than the one before NaN. Frames keep their
    own size, on which lengths in pixels depend. Needs OpenCV.
    """

    def __init__(self) -> None:
        import cv2

        self._cv2: Any = cv2
        self._last: Any = None
        self.flow_px: list[float] = []

    def push(self, frame: NDArray[np.uint8]) -> None:
        """Add the next frame, RGB (H, W, 3)."""
        grey = self._cv2.cvtColor(np.ascontiguousarray(frame), self._cv2.COLOR_RGB2GRAY)
        if self._last is not None:
            flow_px = self._between(self._last, grey) if self._last.shape == grey.shape else math.nan
            self.flow_px += [flow_px] if self.flow_px else [flow_px, flow_px]
        self._last = grey

    def _between(self, before: Any, after: Any) -> float:
        # Scale 0.5, 3 levels, windows of 15, 3 iterations, polynomials over 5 pixels with a deviation of 1.2.
        flow = self._cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)
        return float(self._cv2.magnitude(flow[..., 0], flow[..., 1]).mean(dtype=np.float64))


def peak_places(flow_px: Sequence[float]) -> list[int]:
    """Return the places at which the flow exceeds both neighbours and is at least `MIN_FLOW_PX`."""
    return [
        place
        for place in range(1, len(flow_px) - 1)
        if flow_px[place - 1] < flow_px[place] > flow_px[place + 1] and flow_px[place] >= MIN_FLOW_PX
    ]
