"""Draw solids by casting one ray per pixel, with depth, shading, surface grain and soft shadows.

Rays are written as eye + t * direction with directions whose component along the view is 1, so that t is the depth and
comparable between solids. Every solid is intersected in its own coordinates, where it is a unit one, and only within
the rectangle of pixels that it can cover.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cavsync.data.synth.worlds.shapes import BALL, BOX, Array, Image, Solid

Mask = npt.NDArray[np.bool_]
Window = tuple[slice, slice]
FAR = np.float32(1e6)
_NEAR = 0.05
_AMBIENT, _KEY = 0.42, 0.68
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)


@dataclass(frozen=True)
class Pose:
    """A camera: its place, the point in the middle of the frame, the focal length in units of the shorter side of the
    frame, and its roll in radians."""

    eye: Array
    target: Array
    focal: float
    roll: float = 0.0

    def basis(self) -> Array:
        """Return (3, 3): right, up and forward in its columns."""
        forward = self.target - self.eye
        forward = forward / np.linalg.norm(forward)
        right = np.cross([0.0, 1.0, 0.0], forward)
        right /= np.linalg.norm(right)
        up = np.cross(forward, right)
        c, s = np.cos(self.roll), np.sin(self.roll)
        return np.stack([c * right + s * up, c * up - s * right, forward], axis=1)


class Picture:
    """The pixels of one frame while it is drawn: `colour` (height, width, 3) float32 in 0..1, `depth`, and `owners`
    uint8, the index in `names` of the object that each pixel shows, from 1, or 0."""

    def __init__(self, width: int, height: int, pose: Pose, light: Array, names: Sequence[str]) -> None:
        self.focal_px = pose.focal * min(width, height)
        self.x = ((np.arange(width) + 0.5 - width / 2) / self.focal_px).astype(np.float32)
        self.y = (-(np.arange(height) + 0.5 - height / 2) / self.focal_px).astype(np.float32)
        self.eye, self.basis, self.light = pose.eye, pose.basis(), light
        self.names = names
        self.colour = np.zeros((height, width, 3), dtype=np.float32)
        self.depth = np.full((height, width), FAR, dtype=np.float32)
        self.owners = np.zeros((height, width), dtype=np.uint8)

    def directions(self, to_local: Array, window: Window) -> list[Image]:
        """Return the three components of the ray directions of a window, under a linear map of the world."""
        rows, columns = window
        m = (to_local @ self.basis).astype(np.float32)
        x, y = self.x[columns], self.y[rows]
        return [(m[i, 0] * x)[None, :] + (m[i, 1] * y + m[i, 2])[:, None] for i in range(3)]

    def project(self, points: Array) -> tuple[Array, Array]:
        """Return pixel positions (n, 2), column and row, and depths (n,) of world points (n, 3)."""
        seen = (points - self.eye) @ self.basis
        depth = np.maximum(seen[:, 2], 1e-6)
        height, width = self.depth.shape
        places = np.stack([seen[:, 0] / depth * self.focal_px + width / 2, height / 2 - seen[:, 1] / depth
                           * self.focal_px], axis=1)  # fmt: skip
        return places, seen[:, 2]

    def window(self, corners: Array) -> Window | None:
        """Return the rectangle of pixels around world points; None if it lies outside the frame."""
        places, depth = self.project(corners)
        height, width = self.depth.shape
        if depth.max() <= _NEAR:
            return None
        if depth.min() <= _NEAR:  # reaches behind the camera
            return slice(0, height), slice(0, width)
        low, high = np.floor(places.min(axis=0)), np.ceil(places.max(axis=0)) + 1
        left, top = max(int(low[0]), 0), max(int(low[1]), 0)
        right, bottom = min(int(high[0]), width), min(int(high[1]), height)
        return None if left >= right or top >= bottom else (slice(top, bottom), slice(left, right))

    def draw(self, solid: Solid) -> None:
        """Draw one solid where it is nearer than what has been drawn."""
        window = self.window(solid.centre + _CORNERS @ solid.axes.T)
        if window is None:
            return
        inverse = np.asarray(np.linalg.inv(solid.axes), dtype=np.float64)
        eye = (inverse @ (self.eye - solid.centre)).astype(np.float32)
        rays = self.directions(inverse, window)
        with np.errstate(divide="ignore", invalid="ignore"):
            depth, face = _INTERSECTIONS[solid.kind](eye, rays)
        seen = (depth > _NEAR) & (depth < self.depth[window])
        if not seen.any():
            return
        t = depth[seen]
        local = [eye[i] + t * rays[i][seen] for i in range(3)]
        faces = None if face is None else face[seen]
        self.depth[window][seen] = t
        self.colour[window][seen] = self._shade(solid, inverse, local, faces)
        self.owners[window][seen] = self.names.index(solid.owner) + 1 if solid.owner else 0

    def _shade(self, solid: Solid, inverse: Array, local: list[Image], faces: Image | None) -> Image:
        """Return the colours (n, 3) at points (local coordinates) of a solid; `faces` is the axis of the face that each
        point lies on."""
        to_light = self.light - solid.centre
        to_light = to_light / np.linalg.norm(to_light)
        to_eye = self.eye - solid.centre
        half = to_light + to_eye / np.linalg.norm(to_eye)
        half = half / np.linalg.norm(half)
        normal = _normals(solid.kind, local, faces)
        stretch = np.einsum("ij,ij->i", inverse, inverse).astype(np.float32)
        length = np.sqrt(sum(stretch[i] * normal[i] ** 2 for i in range(3))) + np.float32(1e-9)
        towards = (inverse @ to_light).astype(np.float32)
        lit = np.clip(sum(towards[i] * normal[i] for i in range(3)) / length, 0, 1)
        upward = sum(np.float32(inverse[i, 1]) * normal[i] for i in range(3)) / length
        light = _AMBIENT + _KEY * lit + np.float32(0.12) * upward
        surface = np.asarray(solid.colour, dtype=np.float32)[None, :] * light[:, None]
        if solid.grain is not None:
            surface *= _grain(solid, local, faces)[:, None]
        if solid.shine > 0:
            middle = (inverse @ half).astype(np.float32)
            glint = np.clip(sum(middle[i] * normal[i] for i in range(3)) / length, 0, 1) ** 24
            surface += (np.float32(solid.shine) * glint)[:, None]
        if solid.picture is not None and faces is not None:
            front = (faces == 2) & (local[2] < 0)
            surface[front] = _sample(solid.picture, local[0][front], -local[1][front])
        return np.asarray(surface, dtype=np.float32)

    def shadow(self, solid: Solid) -> None:
        """Darken surfaces at the solid's `shadow_y` where it hides the light."""
        if solid.shadow_y is None:
            return
        height = float(solid.centre[1]) - solid.shadow_y
        if not 0 <= height < 1.5 or self.light[1] - solid.centre[1] < 0.3:
            return
        along = (solid.centre - self.light) * height / (self.light[1] - solid.centre[1])
        x, z = float(solid.centre[0] + along[0]), float(solid.centre[2] + along[2])
        reach = np.sqrt((solid.axes[[0, 2]] ** 2).sum(axis=1)) + 0.12 * height + 0.01
        spread = np.array([2 * reach[0], 0.0, 2 * reach[1]])
        window = self.window(np.array([x, solid.shadow_y, z]) + _CORNERS * spread)
        if window is None:
            return
        rays = self.directions(np.eye(3), window)
        t = self.depth[window]
        spot = [np.float32(self.eye[i]) + t * rays[i] for i in range(3)]
        near = np.abs(spot[1] - np.float32(solid.shadow_y)) < 0.03
        distance = ((spot[0] - np.float32(x)) / np.float32(reach[0])) ** 2
        distance += ((spot[2] - np.float32(z)) / np.float32(reach[1])) ** 2
        depth = np.float32(0.55 / (1 + 2.0 * height))
        self.colour[window] *= (1 - depth * near * np.exp(-distance))[..., None]


def _ball(eye: Image, rays: list[Image]) -> tuple[Image, None]:
    a = rays[0] ** 2 + rays[1] ** 2 + rays[2] ** 2
    b = eye[0] * rays[0] + eye[1] * rays[1] + eye[2] * rays[2]
    root = b * b - a * (np.float32(eye @ eye) - 1)
    t = (-b - np.sqrt(root)) / a
    return np.where(root > 0, t, FAR), None


def _box(eye: Image, rays: list[Image]) -> tuple[Image, Image]:
    near = np.full(rays[0].shape, -FAR)
    far, face = -near, np.zeros(rays[0].shape, dtype=np.float32)
    for axis in range(3):
        first, second = (-1 - eye[axis]) / rays[axis], (1 - eye[axis]) / rays[axis]
        enter, leave = np.minimum(first, second), np.maximum(first, second)
        face = np.where(enter > near, np.float32(axis), face)
        near, far = np.maximum(near, enter), np.minimum(far, leave)
    return np.where((near < far) & (near > 0), near, FAR), face


def _cylinder(eye: Image, rays: list[Image]) -> tuple[Image, Image]:
    a = rays[0] ** 2 + rays[2] ** 2
    b = eye[0] * rays[0] + eye[2] * rays[2]
    root = b * b - a * (eye[0] ** 2 + eye[2] ** 2 - 1)
    side = (-b - np.sqrt(root)) / a
    on_side = (root > 0) & (side > 0) & (np.abs(eye[1] + side * rays[1]) <= 1)
    end = (np.sign(eye[1]) - eye[1]) / rays[1]
    on_end = (end > 0) & ((eye[0] + end * rays[0]) ** 2 + (eye[2] + end * rays[2]) ** 2 <= 1) & (abs(eye[1]) > 1)
    return np.where(on_side, side, np.where(on_end, end, FAR)), np.where(on_side, np.float32(0), np.float32(1))


_INTERSECTIONS = {BALL: _ball, BOX: _box, "cylinder": _cylinder}


def _normals(kind: str, local: list[Image], faces: Image | None) -> list[Image]:
    """Return the directions across the surface in local coordinates, not of unit length."""
    if faces is None:
        return local
    if kind == BOX:
        return [np.where(faces == axis, np.sign(local[axis]), np.float32(0)) for axis in range(3)]
    zero = np.float32(0)
    side = faces == 0
    return [np.where(side, local[0], zero), np.where(side, zero, np.sign(local[1])), np.where(side, local[2], zero)]


def _grain(solid: Solid, local: list[Image], faces: Image | None) -> Image:
    """Return the grain at points of a solid."""
    assert solid.grain is not None
    sizes = (np.linalg.norm(solid.axes, axis=0) * solid.grain_scale).astype(np.float32)
    u, v, w = (local[i] * sizes[i] for i in range(3))
    if solid.kind == BOX and faces is not None:
        first, second = np.where(faces == 0, w, u), np.where(faces == 1, w, v)
    else:
        first, second = u + np.float32(0.6) * w, v + np.float32(0.3) * w
    count = solid.grain.shape[0]
    rows = (second * count).astype(np.int32) % count
    return np.asarray(solid.grain[rows, (first * count).astype(np.int32) % count])


def _sample(picture: Image, u: Image, v: Image) -> Image:
    """Return the pixels of a picture at positions in -1..1, to the right and down."""
    height, width = picture.shape[:2]
    rows = np.clip(((v + 1) * (height / 2)).astype(np.int32), 0, height - 1)
    columns = np.clip(((u + 1) * (width / 2)).astype(np.int32), 0, width - 1)
    return np.asarray(picture[rows, columns])
