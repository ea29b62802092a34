"""Machines that start, change speed and stop: engines and blowers with a flywheel, and pumps that thump."""

from __future__ import annotations

import numpy as np

from cavsync.data.synth.rhythm import bursts, ease, irregular_times
from cavsync.data.synth.scene import Sound
from cavsync.data.synth.spec import MARGIN_SECONDS
from cavsync.data.synth.worlds.actor import Actor, Part
from cavsync.data.synth.worlds.grains import any_grain, grain
from cavsync.data.synth.worlds.shapes import Array, Colour, Solid, box, rod, turned, vector
from cavsync.data.synth.worlds.sounds.engine import blower, engine, thump

_CURVE_HZ = 200.0


def make(part: Part) -> Actor:
    """Draw an engine, a blower or a pump."""
    return _pump(part) if part.rng.random() < 0.4 else _rotating(part)


def _hue(rng: np.random.Generator) -> Colour:
    red, green, blue = rng.uniform(0.2, 0.8, 3).tolist()
    return (red, green, blue)


def _wheel(middle: Array, radius: float, angle: float, hue: Colour, owner: str) -> list[Solid]:
    """Return a flywheel that faces the camera, with spokes that show its angle."""
    found = [rod(middle, middle + vector(0, 0, 0.04), radius, hue, owner=owner, shadow_y=None)]
    for spoke in range(2):
        turn = turned(roll=angle + np.pi * spoke / 2)
        size = vector(0.92 * radius, 0.16 * radius if spoke else 0.24 * radius, 0.012)
        colour: Colour = (0.95, 0.9, 0.8) if spoke == 0 else (0.15, 0.15, 0.15)
        found.append(box(middle - vector(0, 0, 0.012), size, colour, turn, owner=owner, shadow_y=None))
    return found


def _rotating(part: Part) -> Actor:
    rng, rate_hz = part.rng, part.rate_hz
    kind = str(rng.choice(["engine", "blower"]))
    label = f"machine-{kind}"
    changes = irregular_times(rng, part.spec.duration_seconds, part.pace * rng.uniform(0.8, 1.3))
    # The switch is on and off in turn, with a new speed now and then instead.
    levels = [0.0]
    for _ in changes:
        off = levels[-1] > 0 and rng.random() < 0.55
        levels.append(0.0 if off else float(rng.uniform(0.4, 1.0)))
    curve_times = np.arange(-MARGIN_SECONDS, part.spec.duration_seconds + MARGIN_SECONDS, 1 / _CURVE_HZ)
    wanted = np.array(levels)[np.searchsorted(changes, curve_times, side="right")]
    inertia = rng.uniform(0.06, 0.14)
    speed = np.zeros(len(curve_times))
    for index in range(1, len(speed)):
        step = (wanted[index] - speed[index - 1]) / (inertia * _CURVE_HZ)
        speed[index] = speed[index - 1] + step
    turns = np.cumsum(speed) / _CURVE_HZ * rng.uniform(1.6, 2.6)
    line = np.arange(round((part.spec.duration_seconds + 2 * MARGIN_SECONDS) * rate_hz)) / rate_hz - MARGIN_SECONDS
    model = engine if kind == "engine" else blower
    samples = model(rng, rate_hz, np.interp(line, curve_times, speed),
                    rng.uniform(45, 110) if kind == "engine" else rng.uniform(180, 420))  # fmt: skip
    starts = [
        float(time) for time, low, high in zip(changes, levels, levels[1:], strict=False) if abs(high - low) > 0.3
    ]
    hue, pattern, phase = _hue(rng), any_grain(rng), rng.uniform(0, 7)
    idle = bursts(rng, part.spec.duration_seconds, 0.6, 1.0 if part.silent_moves else 0.0)
    spins = np.concatenate([[0.0], np.cumsum(rng.choice([-1, 1], len(idle)) * rng.uniform(0.6, 2.5, len(idle)))])

    def solids(time_seconds: float) -> list[Solid]:
        now, angle = (
            np.interp(time_seconds, curve_times, speed),
            2 * np.pi * np.interp(time_seconds, curve_times, turns),
        )
        shake = 0.012 * now * float(np.sin(2 * np.pi * 8.7 * time_seconds + phase))
        lamp: Colour = (1.0, 0.3, 0.15) if now > 0.02 else (0.2, 0.08, 0.06)
        found = [
            box(vector(-0.05, 0.24 + shake, 0.1), vector(0.34, 0.24, 0.16), hue, grain=pattern, grain_scale=1.5),
            *_wheel(vector(-0.12, 0.26 + shake, -0.14), 0.19, angle, (0.4, 0.42, 0.45), label),
            box(vector(0.2, 0.4 + shake, -0.08), vector(0.03, 0.03, 0.02), lamp, shadow_y=None),
            rod(vector(0.36, 0, 0.1), vector(0.36, 0.62 + 2 * shake, 0.1), 0.04, (0.25, 0.25, 0.27)),
        ]
        # A second wheel, on no axle: it is turned by hand now and then, and makes no sound.
        index = int(np.searchsorted(idle, time_seconds, side="right"))
        loose = (
            spins[index] - (spins[index] - spins[index - 1]) * (1 - ease((time_seconds - idle[index - 1]) / 0.4))
            if index
            else 0.0
        )
        if part.silent_moves:
            found += _wheel(vector(0.3, 0.18, -0.22), 0.13, float(loose), (0.6, 0.5, 0.3), "")
        return found

    return Actor(label, solids, [Sound(-MARGIN_SECONDS, samples, label)], starts, vector(-0.1, 0.26, 0))


def _pump(part: Part) -> Actor:
    """Return a pump whose piston strikes at the bottom of each stroke, at changing speed; now and then it stops."""
    rng, rate_hz, label = part.rng, part.rate_hz, "machine-pump"
    time, strikes = -MARGIN_SECONDS - 0.5, []
    while time < part.spec.duration_seconds + MARGIN_SECONDS:
        pause = rng.uniform(0.5, 1.0) if rng.random() < 0.2 else 0.0
        time += part.pace * float(rng.uniform(0.3, 0.75)) + pause
        strikes.append(time)
    times = np.array(strikes)
    gaps = np.diff(times, prepend=times[0] - 0.5)
    strengths = np.clip(0.35 / gaps, 0.3, 1.0)
    sounds = [
        Sound(float(at), thump(rng, rate_hz, float(strength)), label)
        for at, strength in zip(times, strengths, strict=True)
    ]
    hue, pattern = _hue(rng), grain(rng, "plain")
    empty = bursts(rng, part.spec.duration_seconds, 0.5, 1.0 if part.silent_moves else 0.0)
    places = rng.uniform(0.0, 0.3, len(empty) + 1)

    def solids(time_seconds: float) -> list[Solid]:
        index = min(int(np.searchsorted(times, time_seconds, side="right")), len(times) - 1)
        start = float(times[index - 1]) if index else float(times[0]) - 1.0
        part_done = float(np.clip((time_seconds - start) / (times[index] - start), 0, 1))
        # Up at once after the strike, then down, fastest before the end.
        up = ease(part_done / 0.45) if part_done < 0.45 else 1 - ((part_done - 0.45) / 0.55) ** 1.5
        y = 0.3 + 0.26 * up
        moved = int(np.searchsorted(empty, time_seconds, side="right"))
        valve = (
            places[moved - 1] + (places[moved] - places[moved - 1]) * ease((time_seconds - empty[moved - 1]) / 0.12)
            if moved
            else places[0]
        )
        found = [
            box(vector(0, 0.13, 0.05), vector(0.3, 0.13, 0.18), hue, grain=pattern, grain_scale=1.5),
            rod(vector(0, y, -0.02), vector(0, y + 0.1, -0.02), 0.13, (0.7, 0.72, 0.75), shine=0.5, owner=label),
            rod(vector(0, y + 0.1, -0.02), vector(0, y + 0.4, -0.02), 0.035, (0.8, 0.8, 0.82), shine=0.5, owner=label),
            *(rod(vector(x, 0.2, 0), vector(x, 0.95, 0), 0.025, (0.3, 0.3, 0.33)) for x in (-0.24, 0.24)),
        ]
        if part.silent_moves:  # a slide valve that moves without a sound
            found.append(rod(vector(0.36, 0.25 + valve, -0.1), vector(0.36, 0.4 + valve, -0.1), 0.06, (0.8, 0.6, 0.2)))
        return found

    return Actor(label, solids, sounds, strikes, vector(0, 0.3, 0))
