"""The surroundings of a scene: backgrounds, and silent objects that move more than the sounding ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from cavsync.data.synth.canvas import Canvas, Colour, Point, blend, shade
from cavsync.data.synth.rhythm import Times, bursts, decay, ease, position_at
from cavsync.data.synth.spec import ClipSpec

# Colours of silent objects, which no sounding object has.
SILENT_COLOURS: tuple[Colour, ...] = ((120, 70, 160), (200, 110, 170), (90, 120, 90), (70, 80, 120), (150, 140, 130))


def background(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw a still background of `size` (width, height): a wall, clouds, tiles, stripes or a room, in muted colours and
    uneven light."""
    width, height = size
    base, other = (np.array(_muted(rng), dtype=np.float64) for _ in range(2))
    v, u = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    kind = str(rng.choice(["wall", "clouds", "tiles", "room", "stripes"]))
    if kind == "clouds":
        mix = _noise_field(rng, size, int(rng.integers(3, 9)))
    elif kind == "tiles":
        mix = ((np.floor(u * rng.integers(4, 10)) + np.floor(v * rng.integers(3, 8))) % 2) * 0.5
    elif kind == "stripes":
        slope = rng.uniform(-1, 1)
        mix = 0.5 + 0.3 * np.sin(2 * np.pi * rng.uniform(3, 9) * (u + slope * v))
    elif kind == "room":
        mix = (v > rng.uniform(0.55, 0.75)).astype(np.float64)
    else:
        mix = rng.uniform(-1, 1) * u + rng.uniform(0, 1) * v
    light = 1 + rng.uniform(-0.3, 0.3) * (u - 0.5) + rng.uniform(-0.3, 0.3) * (v - 0.5)
    grain = 1 + 0.12 * (_noise_field(rng, size, 24) - 0.5)
    levels = (base + (other - base) * np.clip(mix, 0, 1)[..., None]) * (light * grain)[..., None]
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def _noise_field(rng: np.random.Generator, size: tuple[int, int], cells: int) -> np.ndarray:
    """Return smooth random values in 0..1 with about `cells` bumps along each side."""
    small = Image.fromarray((rng.random((cells, cells)) * 255).astype(np.uint8))
    return np.asarray(small.resize(size, Image.Resampling.BICUBIC), dtype=np.float64) / 255


def _muted(rng: np.random.Generator) -> Colour:
    grey = rng.uniform(60, 190)
    red, green, blue = (int(np.clip(grey + rng.uniform(-30, 30), 20, 230)) for _ in range(3))
    return (red, green, blue)


class Distractor(Protocol):
    """An object that moves and makes no sound."""

    def draw(self, canvas: Canvas, time_seconds: float) -> None:
        """Draw it at one instant."""


@dataclass(frozen=True)
class PassingShape:
    """A shape that crosses the frame and halts abruptly, at times that are independent of the sound."""

    starts: Times
    paths: list[tuple[Point, Point]]
    seconds: float
    radius: float
    colour: Colour

    def draw(self, canvas: Canvas, time_seconds: float) -> None:
        """Draw the shape if it is crossing the frame."""
        index = int(np.searchsorted(self.starts, time_seconds)) - 1
        if index < 0:
            return
        since = time_seconds - self.starts[index]
        if since > 2 * self.seconds:
            return
        # It stops half-way, which looks like an impact to a motion detector.
        done = 0.5 * ease(since / (0.6 * self.seconds)) + 0.5 * ease(
            (since - 1.2 * self.seconds) / (0.6 * self.seconds)
        )
        (u0, v0), (u1, v1) = self.paths[index]
        centre = (u0 + (u1 - u0) * done, v0 + (v1 - v0) * done)
        canvas.ellipse(centre, (self.radius, self.radius * 0.8), self.colour)
        canvas.ellipse((centre[0] - 0.3 * self.radius, centre[1]), (0.4 * self.radius, 0.5 * self.radius),
                       shade(self.colour, 1.3))  # fmt: skip


@dataclass(frozen=True)
class WavingLimb:
    """A limb (tail, branch, arm), attached at an edge of the frame, that jerks to a new angle at random times."""

    root: Point
    length: float
    angles: np.ndarray
    starts: Times
    width: float
    colour: Colour
    sway_hz: float

    def draw(self, canvas: Canvas, time_seconds: float) -> None:
        """Draw the limb at its angle, with a tuft at its end."""
        angle = float(position_at(self.starts, self.angles, time_seconds, 0.16))
        angle += 0.12 * np.sin(2 * np.pi * self.sway_hz * time_seconds)
        points = [
            (
                self.root[0] + self.length * part * np.cos(angle * (0.6 + 0.4 * part)),
                self.root[1] + self.length * part * np.sin(angle * (0.6 + 0.4 * part)),
            )
            for part in (0.0, 0.35, 0.7, 1.0)
        ]
        canvas.line(points, self.width, self.colour)
        canvas.ellipse(points[-1], (self.width, self.width), shade(self.colour, 1.25))


@dataclass(frozen=True)
class Screen:
    """A screen on the wall whose image changes at random times."""

    low: Point
    high: Point
    starts: Times
    colours: list[Colour]

    def draw(self, canvas: Canvas, time_seconds: float) -> None:
        """Draw the screen with its current image."""
        index = int(np.searchsorted(self.starts, time_seconds))
        colour = self.colours[index]
        since = time_seconds - self.starts[index - 1] if index > 0 else 1.0
        canvas.rectangle((self.low[0] - 0.015, self.low[1] - 0.015), (self.high[0] + 0.015, self.high[1] + 0.015),
                         (25, 25, 28))  # fmt: skip
        canvas.rectangle(self.low, self.high, blend(colour, (235, 235, 240), 0.6 * decay(since, 0.1)))
        middle = self.low[0] + (self.high[0] - self.low[0]) * (0.2 + 0.6 * ((index * 0.37) % 1))
        canvas.rectangle((middle - 0.03, self.low[1]), (middle + 0.03, self.high[1]), shade(colour, 0.6))


@dataclass(frozen=True)
class Wheel:
    """A fan of two-coloured blades on the back wall that turns in jerks."""

    centre: Point
    radius: float
    blades: int
    starts: Times
    turns: np.ndarray
    colours: tuple[Colour, Colour]

    def draw(self, canvas: Canvas, time_seconds: float) -> None:
        """Draw the wheel at its angle."""
        index = int(np.searchsorted(self.starts, time_seconds))
        angle = float(self.turns[index])
        if index > 0:
            angle -= float(self.turns[index] - self.turns[index - 1]) * (
                1 - ease((time_seconds - self.starts[index - 1]) / 0.25)
            )
        u, v = self.centre
        canvas.ellipse(self.centre, (self.radius, self.radius), self.colours[0])
        step = np.pi / self.blades
        for blade in range(self.blades):
            low, high = angle + 2 * step * blade, angle + 2 * step * blade + step
            rim = [
                (u + self.radius * float(np.cos(a)), v + self.radius * float(np.sin(a)))
                for a in (low, (low + high) / 2, high)
            ]
            canvas.polygon([self.centre, *rim], self.colours[1])


def distractors(spec: ClipSpec, behind: bool) -> list[Distractor]:
    """Draw the silent movers of one clip: those `behind` the scene, or those in front of it near the edges."""
    rng = spec.random("distractors behind" if behind else "distractors in front")
    if spec.clutter == 0:
        return []
    if behind:
        return [_wheel(rng, spec), _screen(rng, spec), _passer(rng, spec), _waver(rng, spec)]
    return [_waver(rng, spec)]


def _colour(rng: np.random.Generator) -> Colour:
    return shade(SILENT_COLOURS[int(rng.integers(len(SILENT_COLOURS)))], rng.uniform(0.8, 1.2))


def _passer(rng: np.random.Generator, spec: ClipSpec) -> PassingShape:
    starts = bursts(rng, spec.duration_seconds, rng.uniform(1.0, 1.6), spec.clutter)
    paths = []
    for _ in starts:
        sign = rng.choice([-1, 1])
        paths.append(((0.5 - sign * 0.9, rng.uniform(0, 0.6)), (0.5 + sign * 0.9, rng.uniform(0, 0.6))))
    return PassingShape(starts, paths, rng.uniform(0.3, 0.5), rng.uniform(0.1, 0.17), _colour(rng))


def _waver(rng: np.random.Generator, spec: ClipSpec) -> WavingLimb:
    starts = bursts(rng, spec.duration_seconds, rng.uniform(0.5, 0.9), spec.clutter)
    right = bool(rng.random() < 0.5)
    spread = rng.uniform(-0.9, 0.9, len(starts) + 1)
    angles = np.pi + spread if right else spread
    root = (1.12 if right else -0.12, float(rng.uniform(0.1, 0.9)))
    return WavingLimb(root, rng.uniform(0.3, 0.45), angles, starts, rng.uniform(0.05, 0.08), _colour(rng),
                 rng.uniform(0.3, 1.2))  # fmt: skip


def _screen(rng: np.random.Generator, spec: ClipSpec) -> Screen:
    starts = bursts(rng, spec.duration_seconds, rng.uniform(0.5, 1.0), spec.clutter)
    u, v = rng.uniform(0.0, 0.7), rng.uniform(0.02, 0.12)
    colours = [shade(_muted(rng), rng.uniform(0.5, 1.4)) for _ in range(len(starts) + 1)]
    return Screen((u, v), (u + rng.uniform(0.2, 0.3), v + rng.uniform(0.14, 0.2)), starts, colours)


def _wheel(rng: np.random.Generator, spec: ClipSpec) -> Wheel:
    starts = bursts(rng, spec.duration_seconds, rng.uniform(0.4, 0.7), spec.clutter)
    turns = np.concatenate([[0.0], np.cumsum(rng.choice([-1, 1], len(starts)) * rng.uniform(0.5, 2.0, len(starts)))])
    colours = _colour(rng), _colour(rng)
    place = float(rng.uniform(0.1, 0.9)), float(rng.uniform(0.2, 0.45))
    return Wheel(place, rng.uniform(0.2, 0.3), int(rng.integers(3, 6)), starts, turns, colours)
