"""A camera that shakes, whose exposure drifts and flickers, and whose sensor is noisy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cavsync.data.synth.canvas import Canvas
from cavsync.data.synth.rhythm import bursts, decay
from cavsync.data.synth.spec import ClipSpec

Frame = npt.NDArray[np.uint8]
_TILE = 64  # extra rows and columns of the noise tile: each frame takes its noise from another corner of it


class Camera:
    """Turns the canvas at one instant into a frame: crop, exposure, white balance, noise."""

    def __init__(self, spec: ClipSpec) -> None:
        rng = spec.random("camera")
        self._clutter = spec.clutter
        self._size = (spec.width, spec.height)
        side = min(spec.width, spec.height)
        # Hand-held sway in pixels: two slow sines per axis, and jolts that ring for about a quarter of a second.
        self._sway = rng.uniform(0, 0.006 * side, (2, 2))
        self._sway_hz = rng.uniform(0.15, 1.3, (2, 2))
        self._phase = rng.uniform(0, 2 * np.pi, (2, 2))
        self._jolts = bursts(rng, spec.duration_seconds, rng.uniform(0.9, 1.8), spec.clutter)
        self._jolt_size = rng.uniform(-0.022, 0.022, (len(self._jolts), 2)) * side
        self._steps = bursts(rng, spec.duration_seconds, rng.uniform(1.0, 2.5), spec.clutter)
        self._levels = 1 + spec.clutter * rng.uniform(-0.12, 0.12, len(self._steps) + 1)
        self._flicker = spec.clutter * rng.uniform(0, 0.025)
        self._flicker_hz = rng.uniform(3, 11)
        self._balance = rng.uniform(0.9, 1.1, 3).astype(np.float32)
        sigma = rng.uniform(2.0, 6.0) * spec.clutter
        self._noise = rng.normal(0, sigma, (spec.height + _TILE, spec.width + _TILE, 1)).astype(np.float32)
        self._corners = rng.integers(0, _TILE, (997, 2))

    def shake(self, time_seconds: float) -> tuple[float, float]:
        """Return the displacement (right, down) of the crop in output pixels."""
        move = (self._sway * np.sin(2 * np.pi * self._sway_hz * time_seconds + self._phase)).sum(axis=1) * self._clutter
        for start, size in zip(self._jolts, self._jolt_size, strict=True):
            since = time_seconds - start
            if 0 <= since < 0.6:
                move = move + size * decay(since, 0.12) * np.sin(2 * np.pi * 5 * since)
        return float(move[0]), float(move[1])

    def gain(self, time_seconds: float) -> float:
        """Return the exposure of the frame, about 1."""
        index = int(np.searchsorted(self._steps, time_seconds))
        level = float(self._levels[index])
        if index > 0:  # auto-exposure settles with a time constant of 0.1 s
            level += float(self._levels[index - 1] - level) * decay(time_seconds - self._steps[index - 1], 0.1)
        return level + self._flicker * float(np.sin(2 * np.pi * self._flicker_hz * time_seconds))

    def expose(self, canvas: Canvas, time_seconds: float, frame_index: int) -> Frame:
        """Return the frame, RGB uint8 (height, width, 3)."""
        box = self._view(canvas, time_seconds)
        crop = canvas.image.reduce(canvas.scale, box) if canvas.scale > 1 else canvas.image.crop(box)
        return self.develop(np.asarray(crop, dtype=np.float32), time_seconds, frame_index)

    def develop(self, light: npt.NDArray[np.float32], time_seconds: float, frame_index: int) -> Frame:
        """Return the frame of an exact image (height, width, 3) in 0..255: exposure, white balance, noise."""
        width, height = self._size
        row, column = self._corners[frame_index % len(self._corners)]
        frame = light * (self._balance * np.float32(self.gain(time_seconds)))
        frame += self._noise[row : row + height, column : column + width]
        return np.clip(frame, 0, 255, out=frame).astype(np.uint8)

    def owners(self, canvas: Canvas, time_seconds: float) -> Frame:
        """Return the object that each pixel of the frame shows, uint8 (height, width), numbered as in the canvas."""
        if canvas.owners is None:
            raise ValueError("the canvas does not track owners")
        half = canvas.scale // 2
        return np.asarray(canvas.owners.crop(self._view(canvas, time_seconds)))[
            half :: canvas.scale, half :: canvas.scale
        ]

    def _view(self, canvas: Canvas, time_seconds: float) -> tuple[int, int, int, int]:
        """Return the left, upper, right and lower edge of the visible part, in canvas pixels."""
        right, down = (
            min(max(round((canvas.margin + move) * canvas.scale), 0), 2 * canvas.margin * canvas.scale)
            for move in self.shake(time_seconds)
        )
        width, height = self._size
        return right, down, right + width * canvas.scale, down + height * canvas.scale
