"""A face in a window: where it is, how well its mouth can be seen, and why it may be useless as evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.media.face import MAX_GAP_SECONDS

FloatArray = NDArray[np.float64]
MIN_FRONTALITY = 0.25
MIN_EYE_DISTANCE_PX = 16.0
STILL_OPENING = 0.02
"""Range of the opening between the lips, in distances between the eyes, below which a mouth does not move."""
LITTLE_OPENING = 0.04
"""Range below which lips hardly move: few people speak like that, and hidden or closed lips seem to."""
JITTERING_OPENING = 0.08
"""Range below which lips that jitter (see `LipMotion`) are not looked at: hidden ones matched by chance, surely."""
MIN_STEADINESS = 0.0
HARDLY_MOVE = "the lips hardly move (closed, still or hidden mouth, or the voice is somebody else's)"
JITTER = "the lips seem to jitter rather than to speak (hidden mouth, still picture, or a poor picture)"


@dataclass(frozen=True)
class LipMotion:
    """Motion of the lips in a window.

    `opening_range` is the spread of the opening between them (1st to 99th percentile), in distances between the outer
    corners of the eyes. `steadiness` is the correlation of each change of the opening with the next one, NaN where it
    is unknown: lips that speak open and close over several frames, whereas the mesh's guesses at hidden lips jump to
    and fro.
    """

    opening_range: float
    steadiness: float

    @property
    def jitter(self) -> bool:
        """Whether the lips jump to and fro."""
        return self.steadiness < MIN_STEADINESS

    @classmethod
    def of(cls, times_seconds: FloatArray, opening: FloatArray) -> LipMotion:
        """Measure the openings (n,) of one face at these times (n,), ascending but for gaps."""
        low, high = np.percentile(opening, [1, 99])
        changes = np.diff(opening)
        steps_seconds = np.diff(times_seconds)
        is_whole = (steps_seconds > 0) & (steps_seconds < MAX_GAP_SECONDS)
        pairs = is_whole[:-1] & is_whole[1:]
        first, second = changes[:-1][pairs], changes[1:][pairs]
        is_known = len(first) > 2 and first.std() > 0 and second.std() > 0
        return cls(float(high - low), float(np.corrcoef(first, second)[0, 1]) if is_known else math.nan)


@dataclass(frozen=True)
class FaceView:
    """One face in one window; medians over the moments in which it was seen.

    `track` numbers the faces of the stream; `box` is left, top, right and bottom in pixels of a frame of `frame_size`
    (width, height); `lips` is the motion of the face that moves them most, where several speak in turn; `share` is the
    part of the window with the face in it.
    """

    track: int
    box: tuple[float, float, float, float]
    frame_size: tuple[int, int]
    presence: float
    frontality: float
    eye_distance_px: float
    lips: LipMotion
    share: float

    @property
    def is_mute(self) -> bool:
        """Whether the lips do not move, or only jitter: nothing is decided on them."""
        return self.lips.opening_range < (JITTERING_OPENING if self.lips.jitter else STILL_OPENING)

    @property
    def shortcoming(self) -> str | None:
        """Why this face may tell nothing, as a clause; None where it is seen well and its lips move."""
        if self.frontality < MIN_FRONTALITY:
            return "the face is turned away from the camera"
        if self.eye_distance_px < MIN_EYE_DISTANCE_PX:
            return (
                f"the face is too small ({self.eye_distance_px:.0f} pixels between the eyes, at least "
                f"{MIN_EYE_DISTANCE_PX:.0f} are needed)"
            )
        return self.doubt if self.is_mute else None

    @property
    def doubt(self) -> str | None:
        """A clause on why the motion of the lips cannot be judged; None if it can."""
        if self.lips.opening_range < LITTLE_OPENING:
            return HARDLY_MOVE
        return JITTER if self.lips.jitter else None
