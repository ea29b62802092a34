"""A plucked instrument: a hand goes from string to string, and the string that it plucks swings and sounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from cavsync.data.synth.rhythm import ease, irregular_times, spaced_times
from cavsync.data.synth.scene import Sound
from cavsync.data.synth.worlds.actor import Actor, Part
from cavsync.data.synth.worlds.grains import grain
from cavsync.data.synth.worlds.shapes import Colour, Solid, ball, box, limb, rod, vector
from cavsync.data.synth.worlds.sounds.strings import plucked

_LABEL = "plucked-strings"
_STEPS = (0, 3, 5, 7, 10, 12)
_SKINS: tuple[Colour, ...] = ((0.86, 0.68, 0.56), (0.6, 0.42, 0.3), (0.38, 0.26, 0.2))


def make(part: Part) -> Actor:
    """Draw an upright frame with four to six strings."""
    harp = _Harp(part)
    return Actor(_LABEL, harp.solids, harp.sounds, [sound.time_seconds for sound in harp.sounds], vector(0, 0.45, 0))


class _Harp:
    """A frame with strings and a hand. Some of the hand's touches only rest on a string, and are silent."""

    def __init__(self, part: Part) -> None:
        rng = part.rng
        self._count = int(rng.integers(4, 7))
        base_hz = float(rng.choice([110.0, 147.0, 196.0]))
        pitches = [base_hz * 2 ** (step / 12) for step in _STEPS[: self._count]]
        self._grain, self._hue, self._skin = grain(rng, "wood"), _body_hue(rng), _SKINS[int(rng.integers(3))]
        times = irregular_times(rng, part.spec.duration_seconds, part.pace * rng.uniform(0.42, 0.62))
        self._times = np.array(spaced_times(times, 0.3))
        self._strings = rng.integers(self._count, size=len(self._times))
        self._silent = rng.random(len(self._times)) < (0.3 if part.silent_moves else 0.0)
        self._strengths = rng.uniform(0.35, 1.0, len(self._times))
        self.sounds = [
            Sound(float(time), plucked(rng, part.rate_hz, pitches[string], float(strength), 1.3), _LABEL)
            for time, string, strength, quiet in zip(
                self._times, self._strings, self._strengths, self._silent, strict=True
            )
            if not quiet
        ]
        self._heights = np.linspace(0.18, 0.72, self._count)[::-1]
        self._spot = rng.uniform(-0.15, 0.15)
        self._plucks = [np.flatnonzero((self._strings == string) & ~self._silent) for string in range(self._count)]

    def solids(self, time_seconds: float) -> list[Solid]:
        """Return frame, strings and hand."""
        found = [
            box(vector(0, 0.45, 0.06), vector(0.5, 0.42, 0.03), self._hue, grain=self._grain),
            box(vector(-0.46, 0.45, 0), vector(0.03, 0.4, 0.05), (0.2, 0.14, 0.1)),
            box(vector(0.46, 0.45, 0), vector(0.03, 0.4, 0.05), (0.2, 0.14, 0.1)),
            ball(vector(0.1, 0.45, 0.03), vector(0.14, 0.14, 0.01), (0.08, 0.06, 0.05), shadow_y=None),
        ]
        for string in range(self._count):
            found += self._string(string, time_seconds)
        return found + self._hand(time_seconds)

    def _string(self, string: int, time_seconds: float) -> list[Solid]:
        """Return a string in two halves, which swings from its last pluck on."""
        plucks = self._plucks[string]
        number = int(np.searchsorted(self._times[plucks], time_seconds, side="right")) - 1
        swing, y = 0.0, float(self._heights[string])
        if number >= 0:
            since = time_seconds - float(self._times[plucks[number]])
            # Far too fast to follow: what a camera catches of it differs from frame to frame.
            ringing = self._strengths[plucks[number]] * np.exp(-since / 0.4) * np.cos(2 * np.pi * 11.3 * since)
            swing = 0.045 * float(ringing)
        width = 0.006 + 0.002 * (self._count - string) + 0.25 * abs(swing)
        middle = vector(self._spot, y + swing, -0.02 + 0.5 * abs(swing))
        looks: dict[str, Any] = {"owner": _LABEL, "shine": 0.6, "shadow_y": None}
        return [rod(vector(x, y, -0.02), middle, width, (0.92, 0.88, 0.7), **looks) for x in (-0.46, 0.46)]

    def _hand(self, time_seconds: float) -> list[Solid]:
        """Return the hand: it waits at the string that comes next, and its finger snaps across at the pluck."""
        times, strings, heights = self._times, self._strings, self._heights
        index = min(int(np.searchsorted(times, time_seconds, side="right")), len(times) - 1)
        before = heights[strings[max(index - 1, 0)]]
        start = float(times[index - 1]) + 0.05 if index > 0 else -99.0
        ready = max(float(times[index]) - 0.06, start + 0.05)
        moved = ease((time_seconds - start) / (ready - start))
        y = before + 0.035 * (1 - moved) + (heights[strings[index]] - before) * moved
        pull = -0.035 * ease((time_seconds - ready) / 0.06)
        after = time_seconds - float(times[index - 1]) if index > 0 else 9.0
        if after < 0.05 and not self._silent[index - 1]:
            pull = -0.035 + 0.07 * ease(after / 0.03)
        tip = vector(self._spot + 0.01, float(y) + pull, -0.03)
        palm = vector(self._spot + 0.12, float(y) - 0.08, -0.14)
        return [
            *limb(palm, tip, 0.022, self._skin, shadow_y=None),
            *limb(palm, tip + vector(0.05, -0.06, -0.02), 0.022, self._skin, shadow_y=None),
            ball(palm, vector(0.07, 0.06, 0.05), self._skin, shadow_y=None),
            rod(palm, palm + vector(0.4, -0.45, -0.15), 0.045, self._skin, shadow_y=None),
        ]


def _body_hue(rng: np.random.Generator) -> Colour:
    shade = rng.uniform(0.3, 0.9)
    return (0.8 * shade, 0.5 * shade, 0.28 * shade)
