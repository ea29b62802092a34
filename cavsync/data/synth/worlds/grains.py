"""Patterns on surfaces: wood, stone, bricks, tiles, cloth, stripes and dots."""

from __future__ import annotations

import numpy as np
from PIL import Image as PillowImage

from cavsync.data.synth.worlds.shapes import Image

SIDE = 128
KINDS = ("wood", "stone", "bricks", "tiles", "cloth", "stripes", "dots", "plain")


def clouds(rng: np.random.Generator, cells: int, side: int = SIDE) -> Image:
    """Return smooth random values in 0..1, (side, side), repeating, with `cells` bumps along a side. `cells` divides
    `side`."""
    small = np.pad((rng.random((cells, cells)) * 255).astype(np.uint8), 2, mode="wrap")
    step = side // cells
    large = PillowImage.fromarray(small).resize((step * (cells + 4),) * 2, PillowImage.Resampling.BICUBIC)
    middle = np.asarray(large, dtype=np.float32)[2 * step :, 2 * step :][:side, :side]
    return np.asarray(middle / np.float32(255), dtype=np.float32)


def grain(rng: np.random.Generator, kind: str) -> Image:
    """Return a pattern (SIDE, SIDE) of factors about 1."""
    v, u = np.meshgrid(np.arange(SIDE) / SIDE, np.arange(SIDE) / SIDE, indexing="ij")
    rough = clouds(rng, 32) - 0.5
    broad = clouds(rng, 8) - 0.5
    if kind == "wood":
        rings = np.sin(2 * np.pi * (rng.integers(5, 12) * v + 1.5 * broad))
        return np.asarray(1 + 0.18 * rings + 0.1 * rough, dtype=np.float32)
    if kind == "bricks":
        row = np.floor(v * 8)
        joint = ((v * 8) % 1 < 0.12) | (((u * 4) + 0.5 * (row % 2)) % 1 < 0.07)
        shade = 1 + 0.25 * (np.sin(row * 12.9898 + np.floor(u * 4 + 0.5 * (row % 2)) * 78.233) * 0.5)
        return np.asarray(np.where(joint, 0.62, shade) + 0.2 * rough, dtype=np.float32)
    if kind == "tiles":
        count = int(rng.integers(2, 5)) * 2
        checks = (np.floor(u * count) + np.floor(v * count)) % 2
        return np.asarray(0.78 + 0.4 * checks + 0.1 * rough, dtype=np.float32)
    if kind == "cloth":
        weave = np.sin(2 * np.pi * 32 * u) * np.sin(2 * np.pi * 32 * v)
        return np.asarray(1 + 0.12 * weave + 0.3 * broad, dtype=np.float32)
    if kind == "stripes":
        return np.asarray(np.where((u * int(rng.integers(2, 6))) % 1 < 0.4, 0.5, 1.15) + 0.1 * rough, dtype=np.float32)
    if kind == "dots":
        count = int(rng.integers(3, 7))
        inside = ((u * count) % 1 - 0.5) ** 2 + ((v * count) % 1 - 0.5) ** 2 < 0.09
        return np.asarray(np.where(inside, 0.45, 1.1) + 0.1 * rough, dtype=np.float32)
    if kind == "stone":
        return np.asarray(1 + 0.5 * broad + 0.5 * rough, dtype=np.float32)
    return np.asarray(1 + 0.15 * broad + 0.08 * rough, dtype=np.float32)


def any_grain(rng: np.random.Generator) -> Image:
    """Return a pattern of a random kind."""
    return grain(rng, str(rng.choice(KINDS)))
