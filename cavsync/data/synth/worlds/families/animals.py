"""Animals: the mouth opens and the body jerks when they call; they also chew, yawn, wag and turn in silence."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from cavsync.data.synth.rhythm import bursts, decay, ease, irregular_times, position_at
from cavsync.data.synth.scene import Sound
from cavsync.data.synth.worlds.actor import Actor, Part
from cavsync.data.synth.worlds.grains import grain
from cavsync.data.synth.worlds.shapes import Colour, Solid, ball, rod, turned, vector
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
    rng = part.rng
    species = str(rng.choice(list(SPECIES)))
    hue, snout, ears, (length, tall) = _LOOKS[species]
    label = f"animal-{species}"
    interval = part.pace * rng.uniform(0.55, 0.9) * (2.0 if SPECIES[species].seconds[1] > 0.6 else 1.0)
    sounds, events, opened = [], [], []
    busy_until = -99.0
    for time in irregular_times(rng, part.spec.duration_seconds, interval).tolist():
        if time < busy_until + 0.12:
            continue
        strength = float(rng.uniform(0.4, 1.0))
        samples, seconds = call(rng, part.rate_hz, species, strength)
        sounds.append(Sound(time, samples, label))
        events.append(time)
        opened.append((time, seconds, strength))
        busy_until = time + seconds
    starts = np.array(events)
    chews = _chews(rng, part, opened)
    looks_at = bursts(rng, part.spec.duration_seconds, 0.8, 1.0 if part.silent_moves else 0.0)
    turns = rng.uniform(-0.6, 0.6, len(looks_at) + 1)
    wag_hz, wags = (
        rng.uniform(1.5, 4.0),
        bursts(rng, part.spec.duration_seconds, 0.9, 1.0 if part.silent_moves else 0.0),
    )
    flicks = bursts(rng, part.spec.duration_seconds, 0.6, 1.0 if part.silent_moves else 0.0)
    pattern = grain(rng, "dots" if species in ("cow", "dog") and rng.random() < 0.6 else "cloth")
    lean = 1.0 if rng.random() < 0.5 else -1.0

    def mouth(time_seconds: float) -> float:
        """Return how far the mouth is open, 0..1: from the start of a call on."""
        index = int(np.searchsorted(starts, time_seconds, side="right")) - 1
        wide = _chewing(chews, time_seconds)
        if index >= 0:
            start, seconds, strength = opened[index]
            since = time_seconds - start
            wide = max(wide, (0.5 + 0.5 * strength) * ease(since / 0.04) * (1 - ease((since - 0.8 * seconds) / 0.12)))
        return wide

    def solids(time_seconds: float) -> list[Solid]:
        index = int(np.searchsorted(starts, time_seconds, side="right")) - 1
        jerk = opened[index][2] * decay(time_seconds - starts[index], 0.09) if index >= 0 else 0.0
        legs = 0.04 if species in ("frog", "duck", "bird") else 0.22
        body = vector(-0.08 * lean, legs + tall, 0)
        turn = turned(yaw=float(position_at(looks_at, turns, time_seconds, 0.25)) + (0 if lean > 0 else np.pi),
                      roll=0.2 * jerk)  # fmt: skip
        head = body + vector(lean * (length + 0.06), tall * 0.9 + 0.02 * jerk, -0.05)
        found = [ball(body, vector(length, tall, 0.8 * tall), hue, grain=pattern, grain_scale=1.5)]
        if legs > 0.1:
            found += [
                rod(
                    body + vector(x * 0.6 * length, 0, z * 0.1),
                    vector(body[0] + x * 0.6 * length, 0, z * 0.1),
                    0.035,
                    hue,
                )
                for x in (-1, 1)
                for z in (-1, 1)
            ]
        wag = 0.6 * float(np.sin(2 * np.pi * wag_hz * time_seconds)) * _recent(wags, time_seconds, 0.5)
        rear = body - vector(lean * length, 0, 0)
        found.append(rod(rear, rear + vector(-lean * 0.12, 0.14, 0.2 * wag), 0.02, hue, shadow_y=None))
        return found + _head(head, turn, mouth(time_seconds), _recent(flicks, time_seconds, 0.15))

    def _head(head: np.ndarray, turn: np.ndarray, wide: float, flick: float) -> list[Solid]:
        """Return the head with an upper jaw, and a lower one that turns down as the mouth opens."""
        dark: Colour = (0.08, 0.06, 0.06)
        beak: Colour = (0.95, 0.6, 0.15) if species in ("bird", "duck") else hue
        jaw = turn @ turned(roll=-0.9 * wide)
        front = head + turn @ vector(0.06, -0.02, 0)
        lower = front + jaw @ vector(0.55 * snout, -0.035, 0)
        throat = front + turn @ vector(0.02 + 0.3 * snout, -0.03 - 0.03 * wide, 0)
        throat_size = vector(0.8 * snout, 0.05 * wide + 0.004, 0.045)
        found = [
            ball(head, vector(0.12, 0.11, 0.1), hue, turn, grain=pattern, owner=label),
            ball(front + turn @ vector(0.6 * snout, 0, 0), vector(snout, 0.045, 0.06), beak, turn, owner=label),
            ball(lower, vector(0.95 * snout, 0.03, 0.05), beak, jaw, owner=label),
            ball(throat, throat_size, (0.5, 0.1, 0.12), turn, owner=label, shadow_y=None),
        ]
        for z in (-1, 1):
            found.append(ball(head + turn @ vector(0.07, 0.05, z * 0.075), 0.022, dark, shine=0.8, shadow_y=None))
            if ears > 0:
                ear = head + turn @ vector(-0.04, 0.1, z * (0.08 + 0.05 * flick))
                bent = turn @ turned(pitch=0.5 * z * flick)
                found.append(ball(ear, vector(0.025, ears, 0.03), hue, bent, shadow_y=None))
        return found

    return Actor(label, solids, sounds, events, vector(0.25 * lean, 0.4, 0))


def _chews(
    rng: np.random.Generator, part: Part, calls: list[tuple[float, float, float]]
) -> list[tuple[float, float, float]]:
    """Draw silent openings of the mouth between the calls: (start, seconds, how wide)."""
    found = []
    for (time, seconds, _), (following, _, _) in pairwise(calls):
        room = following - time - seconds - 0.2
        if part.silent_moves and room > 0.45 and rng.random() < 0.8:
            length = min(float(rng.uniform(0.3, 0.8)), room - 0.1)
            start = time + seconds + 0.15 + (room - 0.1 - length) * float(rng.random())
            found.append((start, length, float(rng.uniform(0.3, 0.9))))
    return found


def _chewing(chews: list[tuple[float, float, float]], time_seconds: float) -> float:
    for start, seconds, wide in chews:
        if start <= time_seconds < start + seconds:
            return wide * float(np.sin(np.pi * (time_seconds - start) / seconds)) ** 2
    return 0.0


def _recent(starts: np.ndarray, time_seconds: float, seconds: float) -> float:
    """Return 1 at the last of `starts`, falling to 0 after it."""
    index = int(np.searchsorted(starts, time_seconds, side="right")) - 1
    return 1 - ease((time_seconds - float(starts[index])) / seconds) if index >= 0 else 0.0
