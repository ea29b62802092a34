"""The track of a face: where it is and what its mouth looks like in every frame that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.data.faces.arrays import read_arrays, write_arrays
from cavsync.errors import MediaError
from cavsync.media.face import NUM_POINTS
from cavsync.media.mouth import MOUTH_SIZE

FORMAT = 1
TYPES = {
    "format": "<i8",
    "times_seconds": "<f8",
    "points": "<f4",
    "mouths": "|u1",
    "presence": "<f4",
    "frontality": "<f4",
    "eye_distance_px": "<f4",
}
SHAPES = {"points": (NUM_POINTS, 3), "mouths": (MOUTH_SIZE, MOUTH_SIZE)}


@dataclass(frozen=True)
class FaceTrack:
    """The n frames of a clip that show its main face, at `times_seconds` (n,) of the container's clock, ascending.

    points: (n, 468, 3) float32, in pixels of the frame. mouths: `mouth_image` of each frame, (n, 48, 48) uint8.
    presence, frontality, eye_distance_px: (n,) float32, as the finder measured them.
    """

    times_seconds: NDArray[np.float64]
    points: NDArray[np.float32]
    mouths: NDArray[np.uint8]
    presence: NDArray[np.float32]
    frontality: NDArray[np.float32]
    eye_distance_px: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.times_seconds)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is written, by name."""
        found = {name: np.asarray(getattr(self, name), dtype) for name, dtype in TYPES.items() if name != "format"}
        return {"format": np.array([FORMAT]), **found}

    def to_bytes(self) -> bytes:
        """Return the bytes that `from_bytes` reads; the same track gives the same bytes."""
        return write_arrays(self.arrays())

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> FaceTrack:
        """Read untrusted bytes. Raises MediaError that names `where` for anything but a track of this format."""
        return cls.of(read_arrays(data, TYPES, where), where)

    @classmethod
    def of(cls, arrays: dict[str, NDArray[Any]], where: str) -> FaceTrack:
        """Check arrays of TYPES and make a track of them. Raises MediaError that names `where`."""
        fault = _fault(arrays)
        if fault:
            raise MediaError(f"{where} is not a record of faces ({fault}): write it again", reason="corrupt")
        return cls(**{name: arrays[name] for name in TYPES if name != "format"})


def _fault(arrays: dict[str, NDArray[Any]]) -> str:
    """Return what is wrong with the arrays of a track, "" for nothing."""
    if arrays["format"].tolist() != [FORMAT]:
        return f"it is not of format {FORMAT}"
    times = arrays["times_seconds"]
    if times.ndim != 1 or not len(times) or not np.all(np.isfinite(times)) or np.any(np.diff(times) <= 0):
        return "its times do not ascend"
    for name in TYPES.keys() - {"format", "times_seconds"}:
        values = arrays[name]
        if values.shape != (len(times), *SHAPES.get(name, ())):
            return f"{name} has the shape {values.shape}"
        if not np.all(np.isfinite(values)):
            return f"{name} is not finite"
    return ""
