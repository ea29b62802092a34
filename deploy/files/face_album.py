"""The best view of each of a file's longest seen faces, as small pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.faces.picture import FacePicture, face_picture
from cavsync.deploy.faces.tracks import Face

KEPT_FACES = 8
"""More than are followed at a time."""
BETTER = 1.15
"""A view replaces another one if it is better by this factor: few frames of a file become pictures."""


@dataclass
class _Seen:
    num_frames: int
    quality: float
    picture: FacePicture


class FaceAlbum:
    """Push every frame with its faces. Memory: `KEPT_FACES` JPEGs, those of the faces seen in the most frames."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}

    def push(self, frame: NDArray[np.uint8], time_seconds: float, faces: list[Face]) -> None:
        """Look at the next frame (H, W, 3)."""
        for face in faces:
            quality = face.presence * face.frontality * face.eye_distance_px
            seen = self._seen.get(face.track)
            if seen is None or quality > BETTER * seen.quality:
                picture = face_picture(frame, time_seconds, faces, face)
                seen = self._seen[face.track] = _Seen(0 if seen is None else seen.num_frames, quality, picture)
            seen.num_frames += 1
        present = {face.track for face in faces}
        while len(self._seen) > KEPT_FACES:
            gone = [track for track in self._seen if track not in present]
            del self._seen[min(gone, key=lambda track: self._seen[track].num_frames)]

    def picture_of(self, tracks: NDArray[np.int64]) -> FacePicture | None:
        """Return the picture of the face that is most often among `tracks` (n,), of those that have one."""
        numbers, counts = np.unique(tracks, return_counts=True)
        often = sorted(zip(counts.tolist(), numbers.tolist(), strict=True), reverse=True)
        return next((self._seen[track].picture for _, track in often if track in self._seen), None)
