"""Balls that are dropped and bounce, or roll to and fro between bumpers."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from cavsync.data.synth.rhythm import decay, ease, irregular_times
from cavsync.data.synth.scene import Sound
from cavsync.data.synth.spec import MARGIN_SECONDS
from cavsync.data.synth.worlds.actor import Actor, Part
from cavsync.data.synth.worlds.grains import grain
from cavsync.data.synth.worlds.shapes import Colour, Solid, ball, box, limb, turned, vector
from cavsync.data.synth.worlds.sounds.impact import impact, rolling

_GRAVITY = 9.81
_FASTEST = 4.3  # m/s, of a fall from the greatest height
# Material -> colour, size relative to the sound's 10 cm, restitution.
_BALLS: dict[str, tuple[Colour, float, float]] = {
    "steel": ((0.65, 0.67, 0.7), 0.9, 0.55),
    "glass": ((0.4, 0.75, 0.6), 0.7, 0.6),
    "wood": ((0.7, 0.5, 0.3), 1.1, 0.5),
    "plastic": ((0.95, 0.95, 0.9), 0.8, 0.8),
    "rubber": ((0.8, 0.2, 0.25), 1.0, 0.78),
    "leather": ((0.85, 0.45, 0.15), 1.6, 0.72),
}


def make(part: Part) -> Actor:
    """Draw a ball that is dropped again and again, or one that rolls between bumpers."""
    thing = _BouncingBall(part) if part.rng.random() < 0.6 else _RollingBall(part)
    return Actor(thing.label, thing.solids, thing.sounds, thing.events, vector(0, 0.1, 0))


class _BouncingBall:
    """A ball that a hand drops, catches and lifts. Each flight begins at rest in the hand or with a bounce."""

    def __init__(self, part: Part) -> None:
        rng = part.rng
        self._material = str(rng.choice(list(_BALLS)))
        self._hue, self._size, self._restitution = _BALLS[self._material]
        self._radius, self.label = 0.07 + 0.05 * self._size, f"ball-{self._material}"
        self._grain = grain(rng, str(rng.choice(["stripes", "dots"])))
        self._spin = rng.uniform(2, 6)
        self._drops = irregular_times(rng, part.spec.duration_seconds, part.pace * rng.uniform(1.7, 2.4))
        self._tops = rng.uniform(0.35, 0.9, len(self._drops))
        self._x = rng.uniform(-0.25, 0.25, len(self._drops))
        # The hand catches the ball before it drops it again.
        self._caught = np.append(self._drops[1:] - 0.45, self._drops[-1] + 5)
        # Start, upward speed and height above the rest of each flight.
        self._flights: list[tuple[float, float, float]] = []
        self.sounds: list[Sound] = []
        for number in range(len(self._drops)):
            self._bounce(part, number)
        self.events = [sound.time_seconds for sound in self.sounds]
        self._starts = [flight[0] for flight in self._flights]

    def _bounce(self, part: Part, number: int) -> None:
        """Add the flights and sounds from one drop on, until the ball is caught or rests."""
        drop, top, until = float(self._drops[number]), float(self._tops[number]), float(self._caught[number])
        self._flights.append((drop, 0.0, top))
        time, speed = drop + float(np.sqrt(2 * top / _GRAVITY)), float(np.sqrt(2 * _GRAVITY * top))
        while time < until and speed > 0.35:
            blow = impact(part.rng, part.rate_hz, self._material, min(speed / _FASTEST, 1.0), self._size)
            self.sounds.append(Sound(time, blow, self.label))
            speed *= self._restitution * part.rng.uniform(0.94, 1.04)
            self._flights.append((time, speed, 0.0))
            time += 2 * speed / _GRAVITY
        if time < until:
            self._flights.append((time, 0.0, 0.0))

    def _height(self, time_seconds: float) -> float:
        """Return the height of the flight at one instant."""
        index = bisect_right(self._starts, time_seconds) - 1
        if index < 0:
            return float(self._tops[0])
        start, speed, height = self._flights[index]
        since = time_seconds - start
        return max(height + speed * since - _GRAVITY / 2 * since**2, 0.0)

    def solids(self, time_seconds: float) -> list[Solid]:
        """Return the ball, and the hand that holds it or waits above."""
        number = int(np.searchsorted(self._drops, time_seconds, side="right")) - 1
        following, last = min(number + 1, len(self._drops) - 1), max(number, 0)
        lifted, released = 0.0, 0.0
        y = float(self._tops[0])
        if number >= 0:
            lifted = ease((time_seconds - self._caught[number]) / 0.4)
            released = ease((time_seconds - self._drops[number]) / 0.25)
            y = self._height(min(time_seconds, float(self._caught[number])))
        y += (float(self._tops[following]) - y) * lifted
        x = float(self._x[last] + (self._x[following] - self._x[last]) * lifted)
        held = max(lifted, 1 - released if number >= 0 else 0.0)
        rest = float(self._tops[last]) + 0.12
        hand = vector(x, 2 * self._radius + 0.02 + y * held + rest * (1 - held), 0)
        turn = turned(roll=self._spin * time_seconds)
        return [
            ball(vector(x, self._radius + y, 0), self._radius, self._hue, turn, grain=self._grain, grain_scale=3.0,
                 owner=self.label, shine=0.5),
            *limb(hand + vector(0.28, 0.55, 0.1), hand, 0.035, (0.8, 0.6, 0.48), shadow_y=None),
        ]  # fmt: skip


class _RollingBall:
    """A ball between two bumpers, which both kick it back; one may be of foam, which makes no sound."""

    def __init__(self, part: Part) -> None:
        rng = part.rng
        self._material = str(rng.choice(["steel", "glass", "wood", "plastic"]))
        self._hue, self._size, _ = _BALLS[self._material]
        self._radius, self.label = 0.06 + 0.035 * self._size, f"ball-{self._material}"
        self._span = 0.44 - self._radius
        self._soft = int(rng.integers(2)) if part.silent_moves and rng.random() < 0.6 else -1
        self._grain, self._plank = grain(rng, "stripes"), grain(rng, "wood")
        stop = part.spec.duration_seconds + MARGIN_SECONDS
        hits = [-MARGIN_SECONDS - 1.0]
        while hits[-1] < stop:
            hits.append(hits[-1] + part.pace * float(rng.uniform(0.35, 1.1)))
        self._times = np.array(hits)
        self.sounds = []
        for number in range(1, len(hits)):
            if number % 2 != self._soft:
                speed = 2 * self._span / (hits[number] - hits[number - 1]) * 0.67
                strength = float(np.clip(speed / 1.6, 0.2, 1.0))
                blow = impact(rng, part.rate_hz, self._material, strength, self._size)
                self.sounds.append(Sound(hits[number], blow, self.label))
        self.events = [sound.time_seconds for sound in self.sounds]
        self.sounds.append(self._rumble(part))

    def _rumble(self, part: Part) -> Sound:
        """Return the noise of rolling."""
        line = part.sample_times()
        coarse = np.arange(-MARGIN_SECONDS, part.spec.duration_seconds + MARGIN_SECONDS + 0.01, 0.005)
        places = np.array([_place(self._times, float(time)) for time in coarse]) * self._span
        speed = np.interp(line, coarse, np.abs(np.gradient(places, coarse)))
        turns = np.interp(line, coarse, places / (2 * np.pi * self._radius))
        return Sound(-MARGIN_SECONDS, rolling(part.rng, part.rate_hz, self._material, speed, turns), self.label)

    def solids(self, time_seconds: float) -> list[Solid]:
        """Return the ball on its plank, and the bumpers, which jump when they are hit."""
        x, radius, times = _place(self._times, time_seconds) * self._span, self._radius, self._times
        found = [
            ball(vector(x, radius + 0.02, 0), radius, self._hue, turned(roll=-x / radius), grain=self._grain,
                 grain_scale=3.0, owner=self.label, shine=0.5),
            box(vector(0, 0.01, 0), vector(0.5, 0.01, 0.12), (0.55, 0.42, 0.3), grain=self._plank),
        ]  # fmt: skip
        index = int(np.searchsorted(times, time_seconds, side="right")) - 1
        for number, side in enumerate((-1, 1)):
            since = time_seconds - float(times[index]) if index >= 0 and index % 2 == number else 9.0
            at, foam = vector(side * (0.47 - 0.05 * decay(since, 0.08)), 0.09, 0), number == self._soft
            hue: Colour = (0.9, 0.8, 0.3) if foam else (0.3, 0.3, 0.35)
            found.append(box(at, vector(0.03, 0.09, 0.1), hue, shine=0.0 if foam else 0.4))
        return found


def _place(times: np.ndarray, time_seconds: float) -> float:
    """Return where the ball is, -1 (at odd numbers of `times`: 1), slowing down on its way from bumper to bumper."""
    index = min(max(int(np.searchsorted(times, time_seconds, side="right")) - 1, 0), len(times) - 2)
    part = float(np.clip((time_seconds - times[index]) / (times[index + 1] - times[index]), 0, 1))
    moved = part * (4 - part) / 3
    return (2 * moved - 1) * (1 if index % 2 == 0 else -1)
