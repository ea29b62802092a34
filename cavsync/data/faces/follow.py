"""Follow the faces of a clip with a face finder, and keep the main one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cavsync.data.faces.track import FaceTrack
from cavsync.errors import MediaError
from cavsync.media.mouth import mouth_image


class FoundFace(Protocol):
    """One face in one frame, as `cavsync.deploy.faces.tracks.Face`."""

    @property
    def track(self) -> int:
        """Number of the face, the same from frame to frame."""
        ...

    @property
    def points(self) -> NDArray[np.float64]:
        """Points (468, 3) in pixels of the frame."""
        ...

    @property
    def presence(self) -> float:
        """Probability that it is a face."""
        ...

    @property
    def frontality(self) -> float:
        """1 seen from the front, 0 in profile."""
        ...

    @property
    def eye_distance_px(self) -> float:
        """Distance between the outer corners of the eyes."""
        ...


class Finder(Protocol):
    """Finds the faces of one stream of frames, as `cavsync.deploy.faces.tracks.FaceFinder`."""

    def push(self, frame: NDArray[np.uint8], pts_seconds: float, /) -> Sequence[FoundFace]:
        """Return the faces of the next frame, RGB (H, W, 3) uint8."""
        ...


OpenFinder = Callable[[], Finder]
"""Opens a finder for one clip; worker processes get it pickled."""


@dataclass
class _Seen:
    """One face in the frames that showed it."""

    times: list[float] = field(default_factory=list)
    points: list[NDArray[np.float32]] = field(default_factory=list)
    looks: list[tuple[float, float, float]] = field(default_factory=list)
    mouths: list[NDArray[np.uint8]] = field(default_factory=list)

    @property
    def rank(self) -> tuple[int, float]:
        """Frames, and mean distance of the eyes in pixels."""
        return len(self.times), float(np.mean([eye_distance_px for *_, eye_distance_px in self.looks]))


class FaceFollower:
    """Collects the faces of one clip: push its frames in order, then ask for the main face."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._seen: dict[int, _Seen] = {}

    def push(self, frame: NDArray[np.uint8], pts_seconds: float) -> None:
        """Find the faces of the next frame, RGB (H, W, 3) uint8."""
        for face in self._finder.push(frame, pts_seconds):
            seen = self._seen.setdefault(face.track, _Seen())
            seen.times.append(pts_seconds)
            seen.points.append(face.points.astype(np.float32))
            seen.looks.append((face.presence, face.frontality, face.eye_distance_px))
            seen.mouths.append(mouth_image(face.points, frame))

    def main_track(self, where: str) -> FaceTrack:
        """Return the face that most frames show; of several, the one whose eyes are further apart.

        Raises MediaError of reason `no_face` that names `where` where no frame shows one.
        """
        if not self._seen:
            raise MediaError(
                f"{where} shows no face: leave it out, or train on it with another preset", reason="no_face"
            )
        main = max(self._seen.values(), key=lambda seen: seen.rank)
        presence, frontality, eye_distance_px = np.array(main.looks, dtype=np.float32).T
        return FaceTrack(
            times_seconds=np.asarray(main.times, dtype=np.float64),
            points=np.stack(main.points),
            mouths=np.stack(main.mouths),
            presence=presence,
            frontality=frontality,
            eye_distance_px=eye_distance_px,
        )
