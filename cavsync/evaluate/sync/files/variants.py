"""Changes of a clip's frames and of their times that must not move its offset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frame = NDArray[np.uint8]
Change = Callable[[Frame, float], Frame]
DIM_FACTOR = 0.4
NOISE_LEVELS = 12.0
BAR_SHARE = 0.16
ZOOM = 1.5


@dataclass(frozen=True)
class Variant:
    """`change` returns a frame (H, W, 3) changed, given its seconds since the first; made anew for each clip.

    `rate_hz`: new frame rate, by dropping and repeating frames; None keeps the frames. `codec` and `options` encode
    the result.
    """

    change: Change
    rate_hz: int | None = None
    codec: str = "libx264"
    options: tuple[tuple[str, str], ...] = (("crf", "10"), ("preset", "veryfast"), ("bf", "0"))


def resized(frame: Frame, height: int, width: int) -> Frame:
    """Return a frame in another size."""
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))


def _same(frame: Frame, _: float) -> Frame:
    return frame


def _mirror(frame: Frame, _: float) -> Frame:
    return frame[:, ::-1]


def _scaled(factor: float) -> Change:
    def change(frame: Frame, _: float) -> Frame:
        return resized(frame, *(max(2, round(size * factor)) for size in frame.shape[:2]))

    return change


def _letterbox(frame: Frame, _: float) -> Frame:
    bar = round(BAR_SHARE * frame.shape[0])
    return np.pad(frame, ((bar, bar), (0, 0), (0, 0)))


def _dim(frame: Frame, _: float) -> Frame:
    return np.round(frame * DIM_FACTOR).astype(np.uint8)


def _noise() -> Change:
    random = np.random.default_rng(0)

    def change(frame: Frame, _: float) -> Frame:
        noise = random.normal(0, NOISE_LEVELS, frame.shape).astype(np.float32)
        return np.clip(np.round(frame + noise), 0, 255).astype(np.uint8)

    return change


def _second_face() -> Change:
    """Place a mirrored copy of the first frame, frozen, to the right of every frame."""
    still: list[Frame] = []

    def change(frame: Frame, _: float) -> Frame:
        if not still:
            still.append(frame[:, ::-1].copy())
        return np.concatenate([frame, still[0]], axis=1)

    return change


def _cuts(frame: Frame, seconds: float) -> Frame:
    """Show the middle enlarged in every other second."""
    if int(seconds) % 2 == 0:
        return frame
    height, width = frame.shape[:2]
    top, left = round(height * (1 - 1 / ZOOM) / 2), round(width * (1 - 1 / ZOOM) / 2)
    return resized(frame[top : height - top, left : width - left], height, width)


MAKERS: dict[str, Callable[[], Variant]] = {
    "mirror": lambda: Variant(_mirror),
    "half": lambda: Variant(_scaled(0.5)),
    "double": lambda: Variant(_scaled(2.0)),
    "letterbox": lambda: Variant(_letterbox),
    "fps15": lambda: Variant(_same, 15),
    "fps30": lambda: Variant(_same, 30),
    "fps60": lambda: Variant(_same, 60),
    "dim": lambda: Variant(_dim),
    "noise": lambda: Variant(_noise()),
    "mjpeg": lambda: Variant(_same, codec="mjpeg", options=(("qmin", "12"), ("qmax", "12"))),
    "second-face": lambda: Variant(_second_face()),
    "cuts": lambda: Variant(_cuts),
}
VARIANTS = tuple(MAKERS)
