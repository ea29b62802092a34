"""Solids of which the things in a world are built: balls, boxes and cylinders, stretched and turned.

World coordinates are metres: x to the right, y up, z away from the camera. A solid is a unit one (radius or half side
1) under the map `centre + axes @ local`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]
Colour = tuple[float, float, float]

BALL, BOX, CYLINDER = "ball", "box", "cylinder"


@dataclass(frozen=True)
class Solid:
    """One solid. `axes` (3, 3) has the half axes in its columns, at right angles to each other; the axis of a cylinder
    is its second one.

    `colour` in 0..1. `grain` (n, n) multiplies the colour over the surface, once per metre times `grain_scale`.
    `picture` (height, width, 3) in 0..1 covers the side of a box that faces -z in local coordinates, and shines by
    itself. `owner` names the object that it belongs to. `shine` in 0..1 is the strength of its highlight. It casts a
    soft shadow on surfaces at height `shadow_y`, if any.
    """

    kind: str
    centre: Array
    axes: Array
    colour: Colour
    grain: Image | None = None
    grain_scale: float = 1.0
    picture: Image | None = None
    owner: str = ""
    shine: float = 0.0
    shadow_y: float | None = 0.0

    def moved(self, turn: Array, scale: float, shift: Array) -> Solid:
        """Return the solid turned, scaled and shifted."""
        shadow_y = None if self.shadow_y is None else self.shadow_y * scale + float(shift[1])
        return replace(
            self,
            centre=turn @ self.centre * scale + shift,
            axes=turn @ self.axes * scale,
            grain_scale=self.grain_scale / scale,
            shadow_y=shadow_y,
        )


def vector(x: float, y: float, z: float) -> Array:
    """Return a point or direction."""
    return np.array([x, y, z], dtype=np.float64)


def turned(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Array:
    """Return the rotation by `roll` about z, then `pitch` about x, then `yaw` about y, in radians."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_y @ about_x @ about_z, dtype=np.float64)


def ball(centre: Array, radii: float | Array, colour: Colour, turn: Array | None = None, **looks: Any) -> Solid:
    """Return a sphere, or an ellipsoid with three `radii`."""
    return _solid(BALL, centre, radii, colour, turn, looks)


def box(centre: Array, halves: float | Array, colour: Colour, turn: Array | None = None, **looks: Any) -> Solid:
    """Return a box by its half sides."""
    return _solid(BOX, centre, halves, colour, turn, looks)


def rod(start: Array, stop: Array, radius: float, colour: Colour, **looks: Any) -> Solid:
    """Return a round bar between two points."""
    along = stop - start
    length = max(float(np.linalg.norm(along)), 1e-6)
    up = along / length
    side = np.cross(up, [0.0, 0.0, 1.0] if abs(up[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    axes = np.stack([side * radius, up * length / 2, np.cross(side, up) * radius], axis=1)
    return Solid(CYLINDER, (start + stop) / 2, axes, colour, **looks)


def limb(start: Array, stop: Array, radius: float, colour: Colour, **looks: Any) -> list[Solid]:
    """Return a round bar with a ball at its end, as arms and fingers are."""
    return [rod(start, stop, radius, colour, **looks), ball(stop, radius * 1.1, colour, **looks)]


def _solid(
    kind: str, centre: Array, sizes: float | Array, colour: Colour, turn: Array | None, looks: dict[str, Any]
) -> Solid:
    halves = np.diag(np.broadcast_to(np.asarray(sizes, dtype=np.float64), 3))
    return Solid(kind, centre, halves if turn is None else turn @ halves, colour, **looks)
