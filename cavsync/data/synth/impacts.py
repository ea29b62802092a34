"""Impacts: objects of metal, wood, glass, skin and tin are struck or dropped on a table, each with its own sound.

A cushion among them is struck as often and makes no sound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cavsync.data.synth.canvas import Canvas, Colour, blend, shade
from cavsync.data.synth.rhythm import Stroke, Strokes, decay, irregular_times, spaced_times, with_near_misses
from cavsync.data.synth.scene import Sound
from cavsync.data.synth.spec import ClipSpec
from cavsync.data.synth.timbres import OBJECT_TIMBRES

COLOURS: dict[str, Colour] = {
    "metal": (232, 178, 40),
    "wood": (140, 84, 40),
    "glass": (150, 225, 235),
    "skin": (205, 45, 45),
    "tin": (185, 195, 200),
    "cushion": (150, 95, 175),
}
_MIN_GAP_SECONDS = 0.34  # time for the fall, the contact and the start of the lift


@dataclass(frozen=True)
class Thing:
    """One object: its position and size in scene units, and its strokes."""

    material: str
    u: float
    floor: float
    size: float
    colour: Colour
    dropped: bool
    strokes: Strokes
    sway_hz: float
    sway: float


class Impacts:
    """Two or three objects, usually with a cushion; mallets strike some, others are lifted and dropped."""

    def __init__(self, spec: ClipSpec) -> None:
        rng = spec.random("impacts")
        cushion = bool(rng.random() < 0.8 * spec.clutter)
        count = 2 if cushion else int(rng.integers(2, 4))
        materials = [str(name) for name in rng.choice(list(OBJECT_TIMBRES), count, replace=False)]
        times = irregular_times(rng, spec.duration_seconds, rng.uniform(0.42, 0.6))
        owners = rng.integers(0, count, len(times))
        hits = {name: spaced_times(times[owners == owner], _MIN_GAP_SECONDS) for owner, name in enumerate(materials)}
        if cushion:
            materials.insert(int(rng.integers(3)), "cushion")
            silent = irregular_times(rng, spec.duration_seconds, rng.uniform(0.45, 0.7))
            hits["cushion"] = spaced_times(silent, _MIN_GAP_SECONDS)
        self._floor = float(rng.uniform(0.84, 0.92))
        self._table: Colour = shade((110, 90, 75), rng.uniform(0.6, 1.4))
        self.things: list[Thing] = []
        self.sounds: list[Sound] = []
        for place, material in enumerate(materials):
            u = (place + 0.5) / len(materials) + float(rng.uniform(-0.04, 0.04))
            self.things.append(self._thing(rng, spec, material, u, hits[material], len(materials)))
            if material == "cushion":
                continue
            timbre = OBJECT_TIMBRES[material](rng, spec.audio_rate_hz)
            self.sounds += [
                Sound(time, timbre * np.float32(rng.uniform(0.35, 0.8)), material, pan=1.2 * (u - 0.5))
                for time in hits[material]
            ]

    def _thing(
        self, rng: np.random.Generator, spec: ClipSpec, material: str, u: float, hits: list[float], count: int
    ) -> Thing:
        strokes = with_near_misses(rng, [Stroke(time, 0.0) for time in hits], 0.36, 0.9 * spec.clutter)
        motion = Strokes(strokes, rng.uniform(0.14, 0.2), rng.uniform(0.05, 0.09), rng.uniform(0.18, 0.3))
        size = float(rng.uniform(0.27, 0.34)) * (1.12 if count == 2 else 1.0)
        colour = shade(COLOURS[material], rng.uniform(0.85, 1.1))
        dropped = bool(rng.random() < 0.3)
        return Thing(material, u, self._floor, size, colour, dropped, motion, rng.uniform(1.8, 3.2),
                     spec.clutter * rng.uniform(0.06, 0.13))  # fmt: skip

    def draw_still(self, canvas: Canvas) -> None:
        """Draw the table."""
        low, _, high, bottom = canvas.bounds
        canvas.rectangle((low, self._floor), (high, bottom), self._table)
        canvas.rectangle((low, self._floor), (high, self._floor + 0.015), shade(self._table, 1.25))

    def draw(self, canvas: Canvas, time_seconds: float) -> None:
        """Draw objects and mallets."""
        for thing in self.things:
            height = thing.strokes.height(time_seconds)
            since, _ = thing.strokes.since_contact(time_seconds)
            sway = thing.sway * height * float(np.sin(2 * np.pi * thing.sway_hz * time_seconds + 9 * thing.u))
            glow = decay(since, 0.12)
            colour = blend(thing.colour, (255, 255, 235), 0.08 * glow)
            squash = 1 - 0.1 * glow
            lift = 0.24 * height if thing.dropped else 0.0
            _draw_thing(canvas, thing, thing.u + (sway if thing.dropped else 0.0), lift, squash, colour)
            if thing.dropped:
                top = thing.floor - lift - thing.size
                canvas.line([(thing.u + sway, top), (thing.u, -0.6)], 0.014, (60, 55, 50))
            else:
                _draw_mallet(canvas, thing, thing.u + sway, 0.3 * height, squash)


def _draw_mallet(canvas: Canvas, thing: Thing, u: float, lift: float, squash: float) -> None:
    v = thing.floor - thing.size * squash - lift - 0.04
    canvas.line([(u + 0.05, v - 0.5), (u, v)], 0.022, (70, 50, 40))
    canvas.ellipse((u, v), (0.078, 0.058), (30, 30, 35))
    canvas.ellipse((u, v), (0.064, 0.044), (245, 240, 235))
    canvas.ellipse((u - 0.02, v - 0.012), (0.02, 0.012), (200, 200, 205))


def _draw_thing(canvas: Canvas, thing: Thing, u: float, lift: float, squash: float, colour: Colour) -> None:
    bottom = thing.floor - lift
    canvas.ellipse((u, thing.floor + 0.01), (0.4 * thing.size, 0.02), shade((60, 50, 45), 1.0))
    with canvas.owned_by(thing.material):
        _SHAPES[thing.material](canvas, u, bottom, thing.size, thing.size * squash, colour)


def _bell(canvas: Canvas, u: float, bottom: float, size: float, height: float, colour: Colour) -> None:
    top = bottom - height
    canvas.ellipse((u, top + 0.35 * height), (0.24 * size, 0.35 * height), colour)
    canvas.polygon(
        [(u - 0.24 * size, top + 0.35 * height), (u + 0.24 * size, top + 0.35 * height),
         (u + 0.45 * size, bottom), (u - 0.45 * size, bottom)], colour)  # fmt: skip
    canvas.rectangle((u - 0.45 * size, bottom - 0.12 * height), (u + 0.45 * size, bottom), shade(colour, 0.7))
    canvas.line([(u - 0.12 * size, top + 0.3 * height), (u - 0.2 * size, bottom - 0.2 * height)], 0.02,
                shade(colour, 1.4))  # fmt: skip


def _block(canvas: Canvas, u: float, bottom: float, size: float, height: float, colour: Colour) -> None:
    top = bottom - height
    canvas.rectangle((u - 0.42 * size, top), (u + 0.42 * size, bottom), colour, radius=0.02)
    for part in (0.25, 0.5, 0.75):
        canvas.line([(u - 0.4 * size, top + part * height), (u + 0.4 * size, top + part * height)], 0.014,
                    shade(colour, 0.65))  # fmt: skip


def _goblet(canvas: Canvas, u: float, bottom: float, size: float, height: float, colour: Colour) -> None:
    top = bottom - height
    canvas.line([(u, top + 0.5 * height), (u, bottom)], 0.03, shade(colour, 0.85))
    canvas.ellipse((u, bottom - 0.015), (0.28 * size, 0.02), shade(colour, 0.85))
    canvas.ellipse((u, top + 0.3 * height), (0.34 * size, 0.32 * height), colour)
    canvas.rectangle((u - 0.34 * size, top), (u + 0.34 * size, top + 0.3 * height), colour)
    canvas.ellipse((u - 0.12 * size, top + 0.25 * height), (0.06 * size, 0.16 * height), (245, 252, 255))


def _drum(canvas: Canvas, u: float, bottom: float, size: float, height: float, colour: Colour) -> None:
    top = bottom - height
    canvas.rectangle((u - 0.46 * size, top + 0.12 * height), (u + 0.46 * size, bottom), colour)
    canvas.ellipse((u, top + 0.12 * height), (0.46 * size, 0.12 * height), (240, 235, 225))
    for side in (-1, 1):
        canvas.line([(u, bottom), (u + side * 0.44 * size, top + 0.25 * height)], 0.012, (240, 220, 180))


def _can(canvas: Canvas, u: float, bottom: float, size: float, height: float, colour: Colour) -> None:
    top = bottom - height
    canvas.rectangle((u - 0.32 * size, top), (u + 0.32 * size, bottom), colour)
    canvas.ellipse((u, top), (0.32 * size, 0.06 * height), shade(colour, 1.15))
    canvas.rectangle((u - 0.32 * size, top + 0.3 * height), (u + 0.32 * size, top + 0.72 * height), (40, 130, 70))


def _cushion(canvas: Canvas, u: float, bottom: float, size: float, height: float, colour: Colour) -> None:
    middle = bottom - 0.4 * height
    canvas.ellipse((u, middle), (0.46 * size, 0.4 * height), colour)
    for side in (-1, 1):
        canvas.ellipse((u + side * 0.36 * size, middle), (0.14 * size, 0.3 * height), shade(colour, 0.85))
    canvas.ellipse((u, middle), (0.05 * size, 0.05 * size), shade(colour, 0.6))


_Shape = Callable[[Canvas, float, float, float, float, Colour], None]
_SHAPES: dict[str, _Shape] = {
    "metal": _bell, "wood": _block, "glass": _goblet, "skin": _drum, "tin": _can, "cushion": _cushion,
}  # fmt: skip
