"""The place of a world: a room or a street with textured surfaces, furniture, a light, and its echo's parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cavsync.data.synth.worlds.grains import any_grain, clouds, grain
from cavsync.data.synth.worlds.raycast import Picture
from cavsync.data.synth.worlds.shapes import Array, Colour, Image, Solid, box, rod, vector

TABLE_HEIGHT = 0.72
_SIDE = 256
Places = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Place:
    """A box between the corners `low` and `high` with six inner faces (axis, side) of (n, n, 3) colours, still
    `furniture`, and a light. Acts stand at height 0; the floor lies at low[1]. `reverb_seconds` is the time in which an
    echo falls by 60 dB; out of doors it is short and weak."""

    low: Array
    high: Array
    faces: dict[tuple[int, int], Image]
    furniture: list[Solid]
    light: Array
    outdoors: bool
    reverb_seconds: float

    def draw(self, picture: Picture) -> None:
        """Fill the picture with the place's surfaces, and draw its furniture."""
        height, width = picture.depth.shape
        rays = picture.directions(np.eye(3), (slice(0, height), slice(0, width)))
        with np.errstate(divide="ignore", invalid="ignore"):
            distances = [
                np.where(rays[axis] > 0, ahead, behind).astype(np.float32) / np.abs(rays[axis])
                for axis, (ahead, behind) in enumerate(
                    zip(self.high - picture.eye, picture.eye - self.low, strict=True)
                )
            ]
        depth = np.minimum(np.minimum(distances[0], distances[1]), distances[2])
        picture.depth[:] = depth
        for (axis, side), surface in self.faces.items():
            seen = (distances[axis] == depth) & ((rays[axis] > 0) == (side > 0))
            if not seen.any():
                continue
            u, v = self._surface_places(picture, axis, depth[seen], [ray[seen] for ray in rays])
            picture.colour[seen] = surface[v, u]
        for solid in self.furniture:
            picture.draw(solid)

    def _surface_places(self, picture: Picture, axis: int, t: Image, rays: list[Image]) -> tuple[Places, Places]:
        """Return column and row of the face's colours at points of it."""
        places = []
        for other in [i for i in (0, 2, 1) if i != axis][:2]:
            low, size = self.low[other], self.high[other] - self.low[other]
            at = (np.float32(picture.eye[other] - low) + t * rays[other]) / np.float32(size)
            places.append(np.clip((at * _SIDE).astype(np.int32), 0, _SIDE - 1))
        return places[0], places[1]


def place(rng: np.random.Generator, on_table: bool) -> Place:
    """Draw a place; with `on_table` acts stand on a table top, else on the floor."""
    outdoors = bool(rng.random() < 0.25)
    base = -TABLE_HEIGHT if on_table else 0.0
    half_width, depth = (
        (rng.uniform(9, 14), rng.uniform(8, 14)) if outdoors else (rng.uniform(2.8, 5), rng.uniform(2, 5))
    )
    ceiling = 8.0 if outdoors else rng.uniform(2.3, 3.4)
    low, high = vector(-half_width, base, -7.0), vector(half_width, base + ceiling, depth)
    light = vector(rng.uniform(-2.5, 2.5), rng.uniform(2.0, 2.6) if not outdoors else 6.0, rng.uniform(-3.5, -0.5))
    hues = [_muted(rng) for _ in range(3)]
    faces: dict[tuple[int, int], Image] = {}
    for axis in range(3):
        for side in (-1, 1):
            if outdoors and (axis, side) != (1, -1):
                faces[axis, side] = _sky(rng) if axis == 1 else _view(rng)
            else:
                hue = hues[2] if axis != 1 else hues[0] if side < 0 else (0.85, 0.85, 0.82)
                faces[axis, side] = _lit(rng, hue, low, high, light, axis, side)
    furniture = _furniture(rng, low, high, outdoors)
    if on_table:
        furniture += _table(rng, base)
    reverb = rng.uniform(0.1, 0.3) if outdoors else rng.uniform(0.2, 1.1)
    return Place(low, high, faces, furniture, light, outdoors, float(reverb))


def _muted(rng: np.random.Generator, low: float = 0.25, high: float = 0.8) -> Colour:
    grey = rng.uniform(low, high)
    red, green, blue = (float(np.clip(grey + rng.uniform(-0.12, 0.12), 0.05, 0.95)) for _ in range(3))
    return (red, green, blue)


def _lit(rng: np.random.Generator, hue: Colour, low: Array, high: Array, light: Array, axis: int, side: int) -> Image:
    """Return the colours of a face under the light, darker towards its corners."""
    first, second = [i for i in (0, 2, 1) if i != axis][:2]
    spans = [np.linspace(low[i], high[i], _SIDE) for i in (first, second)]
    v, u = np.meshgrid(spans[1], spans[0], indexing="ij")
    at = np.zeros((_SIDE, _SIDE, 3))
    at[..., first], at[..., second], at[..., axis] = u, v, (high if side > 0 else low)[axis]
    away = light - at
    distance = np.linalg.norm(away, axis=-1)
    facing = np.abs(away[..., axis]) / np.maximum(distance, 1e-6)
    edges = [np.minimum(c - low[i], high[i] - c) for c, i in ((u, first), (v, second))]
    corners = 1 - 0.3 * np.exp(-np.minimum(*edges) / 0.25)
    level = (0.5 + 0.6 * facing / (1 + (distance / 3.5) ** 2)) * corners
    pattern = any_grain(rng)
    scale = rng.uniform(0.5, 1.1)
    count = pattern.shape[0]
    rows, columns = ((c * scale * count).astype(int) % count for c in (v, u))
    factors = 1 + rng.uniform(0.4, 1.0) * (pattern[rows, columns] - 1)
    return np.asarray(np.array(hue) * (level * factors)[..., None], dtype=np.float32)


def _sky(rng: np.random.Generator) -> Image:
    blue = np.array([rng.uniform(0.45, 0.7), rng.uniform(0.6, 0.8), rng.uniform(0.8, 0.95)])
    white = clouds(rng, 8, _SIDE)[..., None]
    return np.asarray(blue + (0.95 - blue) * white, dtype=np.float32)


def _view(rng: np.random.Generator) -> Image:
    """Return sky over a line of hills or houses; row 0 is the ground."""
    sky = _sky(rng)
    heights = 40 + 60 * clouds(rng, 16, _SIDE)[0]
    if rng.random() < 0.5:
        heights = np.repeat(heights[:: _SIDE // 16], _SIDE // 16)[:_SIDE]
    rows = np.arange(_SIDE)[:, None]
    hue = np.array(_muted(rng, 0.2, 0.55))
    texture = 1 + 0.6 * (clouds(rng, 32, _SIDE)[..., None] - 0.5)
    return np.asarray(np.where((rows < heights[None, :])[..., None], hue * texture, sky), dtype=np.float32)


def _furniture(rng: np.random.Generator, low: Array, high: Array, outdoors: bool) -> list[Solid]:
    """Return boxes and posts that stand behind the acts."""
    found: list[Solid] = []
    far = min(high[2], 6.0)
    for _ in range(int(rng.integers(3, 8))):
        x, z = rng.uniform(low[0] + 0.5, high[0] - 0.5), rng.uniform(1.2, far - 0.4)
        size = vector(rng.uniform(0.15, 0.6), rng.uniform(0.25, 1.0), rng.uniform(0.1, 0.3))
        pattern = any_grain(rng)
        if rng.random() < 0.3:
            top = low[1] + rng.uniform(1.0, 3.0)
            found.append(
                rod(vector(x, low[1], z), vector(x, top, z), rng.uniform(0.05, 0.2), _muted(rng), grain=pattern)
            )
        else:
            found.append(box(vector(x, low[1] + size[1], z), size, _muted(rng), grain=pattern))
    if not outdoors:
        for _ in range(int(rng.integers(0, 3))):
            at = vector(rng.uniform(low[0] + 0.6, high[0] - 0.6), low[1] + rng.uniform(1.3, 1.8), high[2] - 0.02)
            found.append(box(at, vector(0.35, 0.25, 0.02), _muted(rng), grain=any_grain(rng)))
    return found


def _table(rng: np.random.Generator, base: float) -> list[Solid]:
    """Return a table whose top lies at height 0."""
    hue, pattern = _muted(rng, 0.3, 0.7), grain(rng, str(rng.choice(["wood", "stone", "plain", "cloth"])))
    half = vector(rng.uniform(1.4, 2.0), 0.03, rng.uniform(0.55, 0.8))
    solids = [box(vector(0, -0.03, 0), half, hue, grain=pattern)]
    solids += [
        rod(
            vector(x * 0.9 * half[0], base, z * 0.8 * half[2]),
            vector(x * 0.9 * half[0], -0.05, z * 0.8 * half[2]),
            0.04,
            hue,
        )
        for x in (-1, 1)
        for z in (-1, 1)
    ]
    return solids
