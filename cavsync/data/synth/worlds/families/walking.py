"""People who walk to and fro: each step is heard when the foot comes to rest, as the ground sounds."""

from __future__ import annotations

import numpy as np

from cavsync.data.synth.rhythm import ease, position_at
from cavsync.data.synth.scene import Sound
from cavsync.data.synth.spec import MARGIN_SECONDS
from cavsync.data.synth.worlds.actor import Actor, Part
from cavsync.data.synth.worlds.grains import any_grain, grain
from cavsync.data.synth.worlds.shapes import Array, Colour, Solid, ball, box, limb, rod, vector
from cavsync.data.synth.worlds.sounds.steps import SURFACES, footstep

_GROUND: dict[str, tuple[Colour, str]] = {
    "boards": ((0.6, 0.42, 0.25), "wood"),
    "stone": ((0.55, 0.55, 0.55), "tiles"),
    "gravel": ((0.6, 0.56, 0.48), "stone"),
    "snow": ((0.93, 0.95, 0.98), "plain"),
    "metal": ((0.5, 0.53, 0.57), "dots"),
}
_HIP, _SHOULDER = 0.5, 0.8
_SKIN: Colour = (0.8, 0.62, 0.5)


def make(part: Part) -> Actor:
    """Draw a walker, who stops now and then and gestures."""
    walker = _Walker(part)
    events = [sound.time_seconds for sound in walker.sounds]
    return Actor(walker.label, walker.solids, walker.sounds, events, vector(0, 0.1, 0), on_table=False)


class _Walker:
    """A walker on a strip of ground. Longer and quicker steps are louder."""

    def __init__(self, part: Part) -> None:
        rng = part.rng
        surface = str(rng.choice(SURFACES))
        self.label = f"steps-{surface}"
        self._times, self._places = _steps(rng, part)
        seconds = np.diff(self._times, prepend=self._times[0] - 0.6)
        strides = np.abs(np.diff(self._places, prepend=self._places[0]))
        strengths = np.clip(0.35 + 0.9 * strides / np.maximum(seconds, 0.3), 0.3, 1.0)
        self.sounds = [
            Sound(float(time), footstep(rng, part.rate_hz, surface, float(strength)), self.label)
            for time, strength in zip(self._times, strengths, strict=True)
        ]
        self._ground, self._pattern = _GROUND[surface][0], grain(rng, _GROUND[surface][1])
        self._shirt, self._trousers, self._shoes = (_hue(rng) for _ in range(3))
        self._shirt_grain = any_grain(rng)
        self._gestures = part.silent_times(0.7)
        self._raised = rng.uniform(-0.6, 1.6, (len(self._gestures) + 1, 2)) * (0.5 if part.silent_moves else 0.0)

    def _foot(self, side: int, time_seconds: float) -> Array:
        """Return where a foot is: it rests from its step on until the other foot has come down, then swings."""
        times, places = self._times, self._places
        later = int(np.searchsorted(times, time_seconds, side="right"))
        landed = later - 1 if (later - 1) % 2 == side else later - 2
        landed = min(max(landed, 0), len(times) - 3)
        x, y, land = float(places[landed]), 0.0, float(times[landed + 2])
        # Those who pause lift the foot late.
        lift = max(float(times[landed + 1]) + 0.04, land - 0.45)
        if time_seconds > lift:
            done = float(np.clip((time_seconds - lift) / (land - lift), 0, 1))
            x += (float(places[landed + 2]) - x) * ease(done)
            y = 0.11 * float(np.sin(np.pi * done**0.8))
        return vector(x, 0.03 + y, 0.06 if side else -0.06)

    def solids(self, time_seconds: float) -> list[Solid]:
        """Return ground, trunk and head, legs and arms."""
        feet = [self._foot(side, time_seconds) for side in range(2)]
        middle = float(feet[0][0] + feet[1][0]) / 2
        apart = abs(float(feet[0][0] - feet[1][0]))
        later = int(np.clip(np.searchsorted(self._times, time_seconds), 1, len(self._places) - 1))
        facing = 1.0 if self._places[later] >= self._places[later - 1] else -1.0
        hip = vector(middle, _HIP + 0.03 - 0.18 * apart, 0)
        shoulder = hip + vector(0.02 * facing, _SHOULDER - _HIP, 0)
        trunk = vector(0.09, 0.2, 0.12)
        found = [
            box(vector(0, -0.004, 0), vector(0.62, 0.006, 0.3), self._ground, grain=self._pattern, grain_scale=1.5),
            ball((hip + shoulder) / 2, trunk, self._shirt, grain=self._shirt_grain, grain_scale=2.0),
            ball(shoulder + vector(0.01 * facing, 0.13, 0), vector(0.07, 0.09, 0.07), _SKIN),
        ]
        arms = position_at(self._gestures, self._raised, time_seconds, 0.25)
        for side, at in enumerate(feet):
            swing = 1.2 * (float(feet[1 - side][0]) - middle) + float(arms[side])
            found += self._leg(hip, at, facing * max(0.1, 1 - apart * 2))
            found += self._arm(shoulder, float(at[2]), swing, facing)
        return found

    def _leg(self, hip: Array, foot: Array, bend: float) -> list[Solid]:
        knee = (hip + foot) / 2 + vector(0.1 * bend, 0, 0) * (0.3 + 6 * max(foot[1] - 0.03, 0))
        knee[2] = foot[2]
        toes = foot + vector(0.03 * float(np.sign(bend)), 0, 0)
        return [
            *limb(hip + vector(0, 0, foot[2]), knee, 0.05, self._trousers),
            rod(knee, foot + vector(0, 0.03, 0), 0.038, self._trousers),
            box(toes, vector(0.075, 0.028, 0.035), self._shoes, owner=self.label),
        ]

    def _arm(self, shoulder: Array, aside: float, swing: float, facing: float) -> list[Solid]:
        elbow = shoulder + vector(0.2 * np.sin(swing), -0.2 * np.cos(swing), 2.3 * aside)
        hand = elbow + vector(0.17 * np.sin(swing + 0.5 * facing), -0.17 * np.cos(swing + 0.5), 0)
        return [
            *limb(shoulder + vector(0, -0.02, 2.0 * aside), elbow, 0.033, self._shirt, shadow_y=None),
            *limb(elbow, hand, 0.028, _SKIN, shadow_y=None),
        ]


def _hue(rng: np.random.Generator) -> Colour:
    red, green, blue = rng.uniform(0.1, 0.85, 3).tolist()
    return (red, green, blue)


def _steps(rng: np.random.Generator, part: Part) -> tuple[Array, Array]:
    """Draw the times of steps, of alternate feet, and where along x each foot comes down."""
    time, place, way = -MARGIN_SECONDS - 2.0, 0.0, float(rng.choice([-1.0, 1.0]))
    usual = part.pace * rng.uniform(0.4, 0.55)
    times, places = [], []
    while time < part.spec.duration_seconds + MARGIN_SECONDS + 1.5:
        pause = rng.uniform(0.5, 1.2) if rng.random() < 0.15 else 0.0
        time += usual * float(rng.uniform(0.75, 1.5)) + pause
        if abs(place + 0.2 * way) > 0.42:
            way = -way
        place += way * float(rng.uniform(0.1, 0.22))
        times.append(time)
        places.append(place)
    return np.array(times), np.array(places)
