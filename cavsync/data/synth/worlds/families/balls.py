"""Balls that are dropped and bounce, or roll to and fro between bumpers."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from cavsync.data.synth.rhythm import ease, irregular_times
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
    return _bouncing(part) if part.rng.random() < 0.6 else _rolling(part)


def _bouncing(part: Part) -> Actor:
    rng, rate_hz = part.rng, part.rate_hz
    material = str(rng.choice(list(_BALLS)))
    hue, size, restitution = _BALLS[material]
    radius = 0.07 + 0.05 * size
    pattern = grain(rng, str(rng.choice(["stripes", "dots"])))
    spin, hand_hue = rng.uniform(2, 6), (0.8, 0.6, 0.48)
    drops = irregular_times(rng, part.spec.duration_seconds, part.pace * rng.uniform(1.7, 2.4))
    tops = rng.uniform(0.35, 0.9, len(drops))
    x = rng.uniform(-0.25, 0.25, len(drops))
    # One row per flight: its start, its upward speed, and the height of the lowest point above the rest.
    flights: list[tuple[float, float, float]] = []
    sounds, events, caught = [], [], []
    label = f"ball-{material}"
    for number, drop in enumerate(drops.tolist()):
        until = drops[number + 1] - 0.45 if number + 1 < len(drops) else drop + 5
        flights.append((drop, 0.0, tops[number]))
        time, speed = drop + float(np.sqrt(2 * tops[number] / _GRAVITY)), float(np.sqrt(2 * _GRAVITY * tops[number]))
        while time < until and speed > 0.35:
            sounds.append(Sound(time, impact(rng, rate_hz, material, min(speed / _FASTEST, 1.0), size), label))
            events.append(time)
            speed *= restitution * rng.uniform(0.94, 1.04)
            flights.append((time, speed, 0.0))
            time += 2 * speed / _GRAVITY
        if time < until:
            flights.append((time, 0.0, 0.0))
        caught.append(until)
    starts = [flight[0] for flight in flights]

    def height(time_seconds: float) -> float:
        index = bisect_right(starts, time_seconds) - 1
        if index < 0:
            return float(tops[0])
        since = time_seconds - flights[index][0]
        return max(flights[index][2] + flights[index][1] * since - _GRAVITY / 2 * since**2, 0.0)

    def solids(time_seconds: float) -> list[Solid]:
        number = int(np.searchsorted(drops, time_seconds, side="right")) - 1
        following = min(number + 1, len(drops) - 1)
        lifted = 0.0 if number < 0 else ease((time_seconds - caught[number]) / 0.4)
        before = height(min(time_seconds, caught[number])) if number >= 0 else float(tops[0])
        y = before + (tops[following] - before) * lifted
        at = x[max(number, 0)] + (x[following] - x[max(number, 0)]) * lifted
        middle = vector(at, radius + y, 0)
        # The hand holds the ball, or waits above.
        held = max(lifted, 0.0 if number < 0 else 1 - ease((time_seconds - drops[number]) / 0.25))
        rest = float(tops[max(number, 0)]) + 0.12
        hand = vector(at, radius + (y * held + rest * (1 - held)) + radius + 0.02, 0)
        found = [ball(middle, radius, hue, turned(roll=spin * time_seconds), grain=pattern, grain_scale=3.0,
                      owner=label, shine=0.5)]  # fmt: skip
        found += limb(hand + vector(0.28, 0.55, 0.1), hand, 0.035, hand_hue, shadow_y=None)
        return found

    return Actor(label, solids, sounds, events, vector(0, 0.1, 0))


def _rolling(part: Part) -> Actor:
    rng, rate_hz = part.rng, part.rate_hz
    material = str(rng.choice(["steel", "glass", "wood", "plastic"]))
    hue, size, _ = _BALLS[material]
    radius, label = 0.06 + 0.035 * size, f"ball-{material}"
    span = 0.44 - radius
    # Both bumpers kick the ball back; one may be of foam, which makes no sound.
    soft = int(rng.integers(2)) if part.silent_moves and rng.random() < 0.6 else -1
    pattern, plank = grain(rng, "stripes"), grain(rng, "wood")
    stop = part.spec.duration_seconds + MARGIN_SECONDS
    hits = [-MARGIN_SECONDS - 1.0]
    while hits[-1] < stop:
        hits.append(hits[-1] + part.pace * float(rng.uniform(0.35, 1.1)))
    times = np.array(hits)
    sounds, events = [], []
    for number in range(1, len(times)):
        if number % 2 != soft:
            speed = 2 * span / (times[number] - times[number - 1]) * 0.67
            strength = float(np.clip(speed / 1.6, 0.2, 1.0))
            sounds.append(Sound(hits[number], impact(rng, rate_hz, material, strength, size), label))
            events.append(hits[number])
    line = np.arange(round((stop + MARGIN_SECONDS) * rate_hz)) / rate_hz - MARGIN_SECONDS
    coarse = np.arange(-MARGIN_SECONDS, stop + 0.01, 0.005)
    places = np.array([_place(times, time) for time in coarse]) * span
    speed_line = np.interp(line, coarse, np.abs(np.gradient(places, coarse)))
    turns = np.interp(line, coarse, places / (2 * np.pi * radius))
    sounds.append(Sound(-MARGIN_SECONDS, rolling(rng, rate_hz, material, speed_line, turns), label))

    def solids(time_seconds: float) -> list[Solid]:
        x = _place(times, time_seconds) * span
        found = [
            ball(vector(x, radius + 0.02, 0), radius, hue, turned(roll=-x / radius), grain=pattern, grain_scale=3.0,
                 owner=label, shine=0.5),
            box(vector(0, 0.01, 0), vector(0.5, 0.01, 0.12), (0.55, 0.42, 0.3), grain=plank),
        ]  # fmt: skip
        for number, side in enumerate((-1, 1)):
            index = int(np.searchsorted(times, time_seconds, side="right")) - 1
            since = time_seconds - times[index] if index >= 0 and index % 2 == number else 9.0
            push = 0.05 * float(np.exp(-since / 0.08)) if since >= 0 else 0.0
            foam = number == soft
            found.append(box(vector(side * (0.47 - push), 0.09, 0), vector(0.03, 0.09, 0.1),
                             (0.9, 0.8, 0.3) if foam else (0.3, 0.3, 0.35), shine=0.0 if foam else 0.4))  # fmt: skip
        return found

    return Actor(label, solids, sounds, events, vector(0, 0.1, 0))


def _place(times: np.ndarray, time_seconds: float) -> float:
    """Return where the ball is, -1 (at odd numbers of `times`: 1), slowing down on its way from bumper to bumper."""
    index = min(max(int(np.searchsorted(times, time_seconds, side="right")) - 1, 0), len(times) - 2)
    part = float(np.clip((time_seconds - times[index]) / (times[index + 1] - times[index]), 0, 1))
    moved = part * (4 - part) / 3
    return (2 * moved - 1) * (1 if index % 2 == 0 else -1)
