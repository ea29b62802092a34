"""Silent things that move in a world: passers-by, a pendulum, a fan, a picture on the wall, thrown foam."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cavsync.data.synth.rhythm import bursts, decay, ease, position_at
from cavsync.data.synth.spec import ClipSpec
from cavsync.data.synth.worlds.grains import any_grain, clouds
from cavsync.data.synth.worlds.place import Place
from cavsync.data.synth.worlds.shapes import Array, Colour, Solid, ball, box, rod, turned, vector

Mover = Callable[[float], list[Solid]]


@dataclass(frozen=True)
class Surroundings:
    """Where movers may be: the clip, its place, and how far to both sides the acts reach, in metres."""

    spec: ClipSpec
    place: Place
    reach: float

    def starts(self, rng: np.random.Generator, fastest_seconds: float, slowest_seconds: float) -> Array:
        """Draw times of movements."""
        return bursts(rng, self.spec.duration_seconds, rng.uniform(fastest_seconds, slowest_seconds), self.spec.clutter)


def movers(spec: ClipSpec, place: Place, reach: float) -> list[Mover]:
    """Draw the silent movers of a clip; none at clutter 0."""
    rng = spec.random("movers")
    if spec.clutter == 0:
        return []
    chosen = rng.permutation(len(_KINDS))[: int(rng.binomial(4, 0.25 + 0.75 * spec.clutter))]
    around = Surroundings(spec, place, reach)
    return [_KINDS[kind](rng, around) for kind in chosen]


def _hue(rng: np.random.Generator) -> Colour:
    red, green, blue = rng.uniform(0.1, 0.9, 3).tolist()
    return (red, green, blue)


def _passer(rng: np.random.Generator, around: Surroundings) -> Mover:
    """Return somebody who walks past behind or close in front, and stops half-way."""
    starts = around.starts(rng, 1.2, 2.2)
    sides = rng.choice([-1.0, 1.0], len(starts))
    depth = float(rng.choice([-0.9, 0.9, 1.3]))
    seconds, span, hue, pattern = rng.uniform(0.5, 0.9), around.reach + 1.2, _hue(rng), any_grain(rng)
    base, tall = float(around.place.low[1]), rng.uniform(0.5, 0.75)

    def solids(time_seconds: float) -> list[Solid]:
        index = int(np.searchsorted(starts, time_seconds)) - 1
        if index < 0:
            return []
        since = (time_seconds - starts[index]) / seconds
        x = sides[index] * span * (ease(since / 0.8) + ease((since - 1.1) / 0.6) - 1)
        if abs(x) >= 0.99 * span:
            return []
        middle = vector(x, base + tall + 0.2, depth)
        return [
            ball(middle, vector(0.16, tall, 0.12), hue, grain=pattern, shadow_y=base),
            ball(middle + vector(0, tall + 0.08, 0), 0.12, (0.75, 0.6, 0.5), shadow_y=None),
        ]

    return solids


def _pendulum(rng: np.random.Generator, around: Surroundings) -> Mover:
    """Return a lamp that hangs from above and is set swinging again and again."""
    starts = around.starts(rng, 0.6, 1.1)
    kicks = rng.uniform(-1, 1, len(starts))
    hz, x, z = rng.uniform(0.7, 1.4), rng.uniform(-around.reach, around.reach), rng.uniform(0.5, 1.0)
    top, length, hue = vector(x, 1.7, z), rng.uniform(0.7, 1.1), _hue(rng)

    def solids(time_seconds: float) -> list[Solid]:
        since = time_seconds - starts[starts <= time_seconds][-3:]
        turn = float(np.sum(kicks[starts <= time_seconds][-3:] * np.sin(2 * np.pi * hz * since) * np.exp(-since / 0.5)))
        end = top + length * vector(np.sin(turn), -np.cos(turn), 0)
        return [rod(top, end, 0.012, (0.2, 0.2, 0.2), shadow_y=None), ball(end, 0.13, hue, shine=0.4, shadow_y=None)]

    return solids


def _fan(rng: np.random.Generator, around: Surroundings) -> Mover:
    """Return a large wheel with blades that turns in jerks."""
    starts = around.starts(rng, 0.4, 0.8)
    angles = np.concatenate([[0.0], np.cumsum(rng.choice([-1, 1], len(starts)) * rng.uniform(0.5, 2.0, len(starts)))])
    middle = vector(
        rng.uniform(-around.reach, around.reach), rng.uniform(0.5, 0.9), min(1.4, float(around.place.high[2]) - 0.2)
    )
    size, hue, blades = rng.uniform(0.25, 0.45), _hue(rng), int(rng.integers(2, 4))

    def solids(time_seconds: float) -> list[Solid]:
        angle = float(position_at(starts, angles, time_seconds, 0.25))
        return [
            box(
                middle, vector(size, 0.12 * size, 0.02), hue, turned(roll=angle + np.pi * blade / blades), shadow_y=None
            )
            for blade in range(blades)
        ]

    return solids


def _poster(rng: np.random.Generator, around: Surroundings) -> Mover:
    """Return a screen whose picture changes and slides."""
    starts = around.starts(rng, 0.5, 1.0)
    pictures = [
        np.clip(clouds(rng, 8, 64)[..., None] * rng.uniform(0.3, 1.2, 3) + rng.uniform(-0.2, 0.3), 0, 1).astype(
            np.float32
        )
        for _ in range(5)
    ]
    middle = vector(
        rng.uniform(-around.reach, around.reach), rng.uniform(0.5, 1.0), min(1.5, float(around.place.high[2]) - 0.1)
    )
    slide_hz = rng.uniform(0, 60)

    def solids(time_seconds: float) -> list[Solid]:
        index = int(np.searchsorted(starts, time_seconds))
        picture = np.roll(pictures[index % len(pictures)], int(slide_hz * time_seconds), axis=1)
        flash = 0.5 * decay(time_seconds - starts[index - 1], 0.1) if index > 0 else 0.0
        screen = np.asarray(picture + np.float32(flash), dtype=np.float32)
        return [box(middle, vector(0.42, 0.28, 0.02), (0.05, 0.05, 0.05), picture=screen, shadow_y=None)]

    return solids


def _foam(rng: np.random.Generator, around: Surroundings) -> Mover:
    """Return balls of foam that bounce without a sound."""
    spots = [vector(rng.uniform(-around.reach, around.reach), 0.0, rng.uniform(-0.45, 0.45)) for _ in range(2)]
    starts = [around.starts(rng, 0.5, 0.8) for _ in spots]
    tops = [rng.uniform(0.15, 0.6, len(times) + 1) for times in starts]
    hues, size = [_hue(rng) for _ in spots], rng.uniform(0.05, 0.08)

    def solids(time_seconds: float) -> list[Solid]:
        found = []
        for spot, times, top, hue in zip(spots, starts, tops, hues, strict=True):
            index = int(np.searchsorted(times, time_seconds))
            if 0 < index < len(times):
                part = (time_seconds - times[index - 1]) / (times[index] - times[index - 1])
                height = size + 4 * top[index] * part * (1 - part)
                found.append(ball(spot + vector(0, height, 0), size, hue))
        return found

    return solids


def _branch(rng: np.random.Generator, around: Surroundings) -> Mover:
    """Return a branch or a hand close to the camera that jerks at the edge of the frame."""
    starts = around.starts(rng, 0.5, 0.9)
    angles = rng.uniform(-0.7, 0.7, len(starts) + 1)
    side, hue = float(rng.choice([-1.0, 1.0])), _hue(rng)
    root: Array = vector(side * (around.reach + 0.15), rng.uniform(0.0, 0.9), -0.7)
    length = rng.uniform(0.35, 0.6)

    def solids(time_seconds: float) -> list[Solid]:
        angle = float(position_at(starts, angles, time_seconds, 0.16))
        end = root + length * vector(-side * np.cos(angle), np.sin(angle), 0)
        return [rod(root, end, 0.04, hue, shadow_y=None), ball(end, 0.08, hue, shadow_y=None)]

    return solids


_KINDS = (_passer, _pendulum, _fan, _poster, _foam, _branch)
