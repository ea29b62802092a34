"""Machines that start, change speed and stop: engines and blowers with a flywheel, and pumps that thump."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import signal

from cavsync.data.synth.rhythm import ease, irregular_times, position_at
from cavsync.data.synth.scene import Sound
from cavsync.data.synth.spec import MARGIN_SECONDS
from cavsync.data.synth.worlds.actor import Actor, Part
from cavsync.data.synth.worlds.grains import any_grain, grain
from cavsync.data.synth.worlds.shapes import Array, Colour, Solid, box, rod, turned, vector
from cavsync.data.synth.worlds.sounds.engine import blower, engine, thump

_CURVE_HZ = 200.0


def make(part: Part) -> Actor:
    """Draw an engine, a blower or a pump."""
    machine = _Pump(part) if part.rng.random() < 0.4 else _Rotating(part)
    middle = vector(0, 0.3, 0) if isinstance(machine, _Pump) else vector(-0.1, 0.26, 0)
    return Actor(machine.label, machine.solids, machine.sounds, machine.events, middle)


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


class _Rotating:
    """An engine or a blower: its flywheel turns as fast as it sounds. A second wheel, on no axle, is turned by hand."""

    def __init__(self, part: Part) -> None:
        rng = part.rng
        kind = str(rng.choice(["engine", "blower"]))
        self.label = f"machine-{kind}"
        changes = irregular_times(rng, part.spec.duration_seconds, part.pace * rng.uniform(0.8, 1.3))
        # The switch is on and off in turn, with a new speed now and then instead.
        levels = [0.0]
        for _ in changes:
            off = levels[-1] > 0 and rng.random() < 0.55
            levels.append(0.0 if off else float(rng.uniform(0.4, 1.0)))
        self._curve_times = np.arange(-MARGIN_SECONDS, part.spec.duration_seconds + MARGIN_SECONDS, 1 / _CURVE_HZ)
        wanted = np.array(levels)[np.searchsorted(changes, self._curve_times, side="right")]
        self._speed = _follow(wanted, rng.uniform(0.06, 0.14))
        self._turns = np.cumsum(self._speed) / _CURVE_HZ * rng.uniform(1.6, 2.6)
        model = engine if kind == "engine" else blower
        top_hz = rng.uniform(45, 110) if kind == "engine" else rng.uniform(180, 420)
        speed = np.interp(part.sample_times(), self._curve_times, self._speed)
        self.sounds = [Sound(-MARGIN_SECONDS, model(rng, part.rate_hz, speed, top_hz), self.label)]
        self.events = [float(time) for time, low, high in zip(changes, levels[:-1], levels[1:], strict=True)
                       if abs(high - low) > 0.3]  # fmt: skip
        self._hue, self._grain, self._phase = _hue(rng), any_grain(rng), rng.uniform(0, 7)
        self._loose = part.silent_moves
        self._idle = part.silent_times(0.6)
        moves = rng.choice([-1, 1], len(self._idle)) * rng.uniform(0.6, 2.5, len(self._idle))
        self._spins = np.concatenate([[0.0], np.cumsum(moves)])

    def solids(self, time_seconds: float) -> list[Solid]:
        """Return the body, which shakes at speed, with flywheel, lamp and exhaust, and the loose wheel."""
        now = float(np.interp(time_seconds, self._curve_times, self._speed))
        angle = 2 * np.pi * float(np.interp(time_seconds, self._curve_times, self._turns))
        shake = 0.012 * now * float(np.sin(2 * np.pi * 8.7 * time_seconds + self._phase))
        lamp: Colour = (1.0, 0.3, 0.15) if now > 0.02 else (0.2, 0.08, 0.06)
        body = vector(-0.05, 0.24 + shake, 0.1)
        found = [
            box(body, vector(0.34, 0.24, 0.16), self._hue, grain=self._grain, grain_scale=1.5),
            *_wheel(vector(-0.12, 0.26 + shake, -0.14), 0.19, angle, (0.4, 0.42, 0.45), self.label),
            box(vector(0.2, 0.4 + shake, -0.08), vector(0.03, 0.03, 0.02), lamp, shadow_y=None),
            rod(vector(0.36, 0, 0.1), vector(0.36, 0.62 + 2 * shake, 0.1), 0.04, (0.25, 0.25, 0.27)),
        ]
        if self._loose:
            turn = float(position_at(self._idle, self._spins, time_seconds, 0.4))
            found += _wheel(vector(0.3, 0.18, -0.22), 0.13, turn, (0.6, 0.5, 0.3), "")
        return found


def _follow(wanted: Array, inertia_seconds: float) -> Array:
    """Return the speed of a body with inertia whose drive wants `wanted`, both at _CURVE_HZ."""
    share = 1 / (inertia_seconds * _CURVE_HZ)
    return np.asarray(signal.lfilter([share], [1, share - 1], wanted), dtype=np.float64)


class _Pump:
    """A pump whose piston strikes at the bottom of each stroke, at changing speed; now and then it stops. A slide valve
    beside it moves without a sound."""

    label = "machine-pump"

    def __init__(self, part: Part) -> None:
        rng = part.rng
        time = -MARGIN_SECONDS - 0.5
        self.events: list[float] = []
        while time < part.spec.duration_seconds + MARGIN_SECONDS:
            pause = rng.uniform(0.5, 1.0) if rng.random() < 0.2 else 0.0
            time += part.pace * float(rng.uniform(0.3, 0.75)) + pause
            self.events.append(time)
        self._times = np.array(self.events)
        strengths = np.clip(0.35 / np.diff(self._times, prepend=self._times[0] - 0.5), 0.3, 1.0)
        self.sounds = [
            Sound(at, thump(rng, part.rate_hz, float(strength)), self.label)
            for at, strength in zip(self.events, strengths, strict=True)
        ]
        self._hue, self._grain, self._has_valve = _hue(rng), grain(rng, "plain"), part.silent_moves
        self._valve_times = part.silent_times(0.5)
        self._valve_places = rng.uniform(0.0, 0.3, len(self._valve_times) + 1)

    def solids(self, time_seconds: float) -> list[Solid]:
        """Return the body, the piston between its posts, and the valve."""
        index = min(int(np.searchsorted(self._times, time_seconds, side="right")), len(self._times) - 1)
        start = float(self._times[index - 1]) if index else float(self._times[0]) - 1.0
        done = float(np.clip((time_seconds - start) / (self._times[index] - start), 0, 1))
        # Up at once after the strike, then down, fastest before the end.
        y = 0.3 + 0.26 * (ease(done / 0.45) if done < 0.45 else 1 - ((done - 0.45) / 0.55) ** 1.5)
        looks: dict[str, Any] = {"shine": 0.5, "owner": self.label}
        found = [
            box(vector(0, 0.13, 0.05), vector(0.3, 0.13, 0.18), self._hue, grain=self._grain, grain_scale=1.5),
            rod(vector(0, y, -0.02), vector(0, y + 0.1, -0.02), 0.13, (0.7, 0.72, 0.75), **looks),
            rod(vector(0, y + 0.1, -0.02), vector(0, y + 0.4, -0.02), 0.035, (0.8, 0.8, 0.82), **looks),
            *(rod(vector(x, 0.2, 0), vector(x, 0.95, 0), 0.025, (0.3, 0.3, 0.33)) for x in (-0.24, 0.24)),
        ]
        if self._has_valve:
            low = 0.25 + float(position_at(self._valve_times, self._valve_places, time_seconds, 0.12))
            found.append(rod(vector(0.36, low, -0.1), vector(0.36, low + 0.15, -0.1), 0.06, (0.8, 0.6, 0.2)))
        return found
