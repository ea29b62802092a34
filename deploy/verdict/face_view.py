"""A face in a window: where it is, how well its mouth can be seen, and why it may tell nothing."""

from __future__ import annotations

from dataclasses import dataclass

MIN_FRONTALITY = 0.25
MIN_EYE_DISTANCE_PX = 16.0
STILL_OPENING = 0.02
"""Range of the opening between the lips, in distances between the eyes, below which a mouth does not move."""


@dataclass(frozen=True)
class FaceView:
    """One face in one window; medians over the moments in which it was seen.

    `track` numbers the faces of the stream; `box` is left, top, right and bottom in pixels of a frame of `frame_size`
    (width, height); `opening_range` is the spread of the opening between the lips (1st to 99th percentile), in
    distances between the outer corners of the eyes; `share` is the part of the window with the face in it.
    """

    track: int
    box: tuple[float, float, float, float]
    frame_size: tuple[int, int]
    presence: float
    frontality: float
    eye_distance_px: float
    opening_range: float
    share: float

    @property
    def is_still(self) -> bool:
        """Whether the lips hardly move."""
        return self.opening_range < STILL_OPENING

    @property
    def shortcoming(self) -> str | None:
        """Why this face may tell nothing, as a clause; None where it is seen well and its mouth moves."""
        if self.frontality < MIN_FRONTALITY:
            return "the face is turned away from the camera"
        if self.eye_distance_px < MIN_EYE_DISTANCE_PX:
            return (
                f"the face is too small ({self.eye_distance_px:.0f} pixels between the eyes, at least "
                f"{MIN_EYE_DISTANCE_PX:.0f} are needed)"
            )
        return "the mouth does not move" if self.is_still else None
