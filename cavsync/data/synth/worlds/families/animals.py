"""Animals: the mouth opens and the body jerks when they call; they also chew, yawn, wag and turn in silence."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np

from cavsync.data.synth.rhythm import decay, ease, irregular_times, position_at
from cavsync.data.synth.scene import AudioArray, Sound
from cavsync.data.synth.worlds.actor import Actor, Part
from cavsync.data.synth.worlds.grains import grain
from cavsync.data.synth.worlds.shapes import Array, Colour, Solid, ball, rod, turned, vector
from cavsync.data.synth.worlds.sounds.calls import SPECIES, call

# Species -> colour, length of the snout, size of the ears, body (length, height).
_LOOKS: dict[str, tuple[Colour, float, float, tuple[float, float]]] = {
    "dog": ((0.55, 0.36, 0.2), 0.13, 0.07, (0.3, 0.14)),
    "cow": ((0.9, 0.88, 0.84), 0.15, 0.06, (0.36, 0.2)),
    "sheep": ((0.92, 0.9, 0.85), 0.1, 0.05, (0.32, 0.2)),
    "cat": ((0.35, 0.35, 0.37), 0.05, 0.06, (0.28, 0.12)),
    "bird": ((0.25, 0.45, 0.75), 0.1, 0.0, (0.22, 0.14)),
    "frog": ((0.3, 0.6, 0.25), 0.06, 0.0, (0.2, 0.14)),
    "duck": ((0.85, 0.8, 0.3), 0.13, 0.0, (0.26, 0.14)),
}


def make(part: Part) -> Actor:
    """Draw one animal."""
    animal = _Animal(part)
    sounds = [Sound(start, samples, animal.label) for (start, _, _), samples in animal.calls]
    events = [start for (start, _, _), _ in animal.calls]
    return Actor(animal.label, animal.solids, sounds, events, vector(0.25 * animal.lean, 0.4, 0))


Opening = tuple[float, float, float]  # start and length in seconds, and how wide the mouth opens, 0..1


class _Animal:
    """An animal that faces right (`lean` 1) or left (-1)."""

    def __init__(self, part: Part) -> None:
        rng = part.rng
        self._species = str(rng.choice(list(SPECIES)))
        self._hue, self._snout, self._ears, self._size = _LOOKS[self._species]
        self.label = f"animal-{self._species}"
        self.calls = self._draw_calls(part)
        self._openings = [opening for opening, _ in self.calls]
        self._starts = np.array([start for start, _, _ in self._openings])
        self._chews = _chews(rng, part, self._openings)
        self._turn_times = part.silent_times(0.8)
        self._turns = rng.uniform(-0.6, 0.6, len(self._turn_times) + 1)
        self._wag_hz, self._wags = rng.uniform(1.5, 4.0), part.silent_times(0.9)
        self._flicks = part.silent_times(0.6)
        self._grain = grain(rng, "dots" if self._species in ("cow", "dog") and rng.random() < 0.6 else "cloth")
        self.lean = 1.0 if rng.random() < 0.5 else -1.0

    def _draw_calls(self, part: Part) -> list[tuple[Opening, AudioArray]]:
        rng, species = part.rng, self._species
        interval = part.pace * rng.uniform(0.55, 0.9) * (2.0 if SPECIES[species].seconds[1] > 0.6 else 1.0)
        calls: list[tuple[Opening, AudioArray]] = []
        busy_until = -99.0
        for time in irregular_times(rng, part.spec.duration_seconds, interval).tolist():
            if time < busy_until + 0.12:
                continue
            strength = float(rng.uniform(0.4, 1.0))
            samples, seconds = call(rng, part.rate_hz, species, strength)
            calls.append(((time, seconds, strength), samples))
            busy_until = time + seconds
        return calls

    def _mouth(self, time_seconds: float) -> float:
        """Return how far the mouth is open, 0..1: from the start of a call on."""
        index = int(np.searchsorted(self._starts, time_seconds, side="right")) - 1
        wide = _chewing(self._chews, time_seconds)
        if index >= 0:
            start, seconds, strength = self._openings[index]
            since = time_seconds - start
            wide = max(wide, (0.5 + 0.5 * strength) * ease(since / 0.04) * (1 - ease((since - 0.8 * seconds) / 0.12)))
        return wide

    def solids(self, time_seconds: float) -> list[Solid]:
        """Return body, tail and head; a call jerks the head back."""
        index = int(np.searchsorted(self._starts, time_seconds, side="right")) - 1
        jerk = self._openings[index][2] * decay(time_seconds - self._starts[index], 0.09) if index >= 0 else 0.0
        length, tall = self._size
        body = vector(-0.08 * self.lean, (0.04 if self._species in ("frog", "duck", "bird") else 0.22) + tall, 0)
        yaw = float(position_at(self._turn_times, self._turns, time_seconds, 0.25)) + (0 if self.lean > 0 else np.pi)
        head = body + vector(self.lean * (length + 0.06), tall * 0.9 + 0.02 * jerk, -0.05)
        wag = 0.6 * float(np.sin(2 * np.pi * self._wag_hz * time_seconds)) * _recent(self._wags, time_seconds, 0.5)
        rear = body - vector(self.lean * length, 0, 0)
        return [
            *self._body(body),
            rod(rear, rear + vector(-self.lean * 0.12, 0.14, 0.2 * wag), 0.02, self._hue, shadow_y=None),
            *self._head(head, turned(yaw=yaw, roll=0.2 * jerk), self._mouth(time_seconds),
                        _recent(self._flicks, time_seconds, 0.15)),
        ]  # fmt: skip

    def _body(self, body: Array) -> list[Solid]:
        """Return the trunk, and legs if it stands high."""
        length, tall = self._size
        found = [ball(body, vector(length, tall, 0.8 * tall), self._hue, grain=self._grain, grain_scale=1.5)]
        if body[1] - tall > 0.1:
            for x, z in product((-0.6 * length, 0.6 * length), (-0.1, 0.1)):
                found.append(rod(body + vector(x, 0, z), vector(body[0] + x, 0, z), 0.035, self._hue))
        return found

    def _head(self, head: Array, turn: Array, wide: float, flick: float) -> list[Solid]:
        """Return the head with an upper jaw, and a lower one that turns down as the mouth opens."""
        dark: Colour = (0.08, 0.06, 0.06)
        beak: Colour = (0.95, 0.6, 0.15) if self._species in ("bird", "duck") else self._hue
        jaw, front, snout = turn @ turned(roll=-0.9 * wide), head + turn @ vector(0.06, -0.02, 0), self._snout
        lower = front + jaw @ vector(0.55 * snout, -0.035, 0)
        throat = front + turn @ vector(0.02 + 0.3 * snout, -0.03 - 0.03 * wide, 0)
        throat_size = vector(0.8 * snout, 0.05 * wide + 0.004, 0.045)
        found = [
            ball(head, vector(0.12, 0.11, 0.1), self._hue, turn, grain=self._grain, owner=self.label),
            ball(front + turn @ vector(0.6 * snout, 0, 0), vector(snout, 0.045, 0.06), beak, turn, owner=self.label),
            ball(lower, vector(0.95 * snout, 0.03, 0.05), beak, jaw, owner=self.label),
            ball(throat, throat_size, (0.5, 0.1, 0.12), turn, owner=self.label, shadow_y=None),
        ]
        for z in (-1, 1):
            found.append(ball(head + turn @ vector(0.07, 0.05, z * 0.075), 0.022, dark, shine=0.8, shadow_y=None))
            if self._ears > 0:
                ear = head + turn @ vector(-0.04, 0.1, z * (0.08 + 0.05 * flick))
                bent = turn @ turned(pitch=0.5 * z * flick)
                found.append(ball(ear, vector(0.025, self._ears, 0.03), self._hue, bent, shadow_y=None))
        return found


def _chews(rng: np.random.Generator, part: Part, calls: list[Opening]) -> list[Opening]:
    """Draw silent openings of the mouth between the calls."""
    found = []
    for (time, seconds, _), (following, _, _) in pairwise(calls):
        room = following - time - seconds - 0.2
        if part.silent_moves and room > 0.45 and rng.random() < 0.8:
            length = min(float(rng.uniform(0.3, 0.8)), room - 0.1)
            start = time + seconds + 0.15 + (room - 0.1 - length) * float(rng.random())
            found.append((start, length, float(rng.uniform(0.3, 0.9))))
    return found


def _chewing(chews: list[Opening], time_seconds: float) -> float:
    for start, seconds, wide in chews:
        if start <= time_seconds < start + seconds:
            return wide * float(np.sin(np.pi * (time_seconds - start) / seconds)) ** 2
    return 0.0


def _recent(starts: np.ndarray, time_seconds: float, seconds: float) -> float:
    """Return 1 at the last of `starts`, falling to 0 after it."""
    index = int(np.searchsorted(starts, time_seconds, side="right")) - 1
    return 1 - ease((time_seconds - float(starts[index])) / seconds) if index >= 0 else 0.0
