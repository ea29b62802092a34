"""Heads that talk in turn, each in a voice of its own; they also chew, nod and turn while they are silent.

The voices are those of the face family: espeak-ng where the clip asks for it, else formants.
"""

from __future__ import annotations

import numpy as np

from cavsync.data.synth.espeak import espeak_speech
from cavsync.data.synth.rhythm import bursts, position_at
from cavsync.data.synth.scene import Sound
from cavsync.data.synth.spec import MARGIN_SECONDS
from cavsync.data.synth.speech import synthetic_speech
from cavsync.data.synth.worlds.actor import Actor, Part
from cavsync.data.synth.worlds.grains import any_grain
from cavsync.data.synth.worlds.shapes import Array, Colour, Solid, ball, box, turned, vector

_SKINS: tuple[Colour, ...] = ((0.94, 0.78, 0.69), (0.8, 0.6, 0.48), (0.6, 0.42, 0.3), (0.38, 0.26, 0.19))
_TURN_SECONDS = 1.6


def make(part: Part) -> Actor:
    """Draw one head; the speakers of a clip speak in turn."""
    rng = part.rng
    speak = espeak_speech if part.spec.speech == "espeak-ng" else synthetic_speech
    speech = speak(rng, part.spec.duration_seconds, part.rate_hz)
    # All speakers of a clip take their turns on one clock, which begins at a random moment of it.
    phase = float(part.spec.random("turns").uniform(0, _TURN_SECONDS))

    def has_turn(time_seconds: float) -> bool:
        return int((time_seconds + MARGIN_SECONDS + 10 + phase) / _TURN_SECONDS) % part.company == part.number

    label = "voice"
    sounds = [Sound(sound.time_seconds, 0.8 * sound.samples, label, events=sound.events)
              for sound in speech.sounds if has_turn(sound.time_seconds)]  # fmt: skip
    events = [time for sound in sounds for time in sound.event_times]
    spans = np.array([(s.time_seconds - 0.05, s.time_seconds + len(s.samples) / part.rate_hz + 0.03) for s in sounds])
    silent = part.silent_moves
    chews, nods = (bursts(rng, part.spec.duration_seconds, 0.7, 1.0 if silent else 0.0) for _ in range(2))
    poses = rng.uniform(-1, 1, (len(nods) + 1, 2)) * (np.array([0.5, 0.25]) if silent else 0.0)
    blinks = bursts(rng, part.spec.duration_seconds, 1.5, 1.0)
    skin, hair = _SKINS[int(rng.integers(4))], _hue(rng, 0.4)
    shirt, pattern = _hue(rng, 0.9), any_grain(rng)
    lips: Colour = (min(skin[0] + 0.05, 1.0), 0.55 * skin[1], 0.58 * skin[2])
    hair_height = 0.36 if rng.random() < 0.5 else 0.3
    looks: dict[str, object] = {"owner": label, "shadow_y": None}

    def mouth(time_seconds: float) -> tuple[float, float]:
        """Return opening and width, of speech or of chewing."""
        if len(spans) and bool(((spans[:, 0] <= time_seconds) & (time_seconds < spans[:, 1])).any()):
            return speech.mouth(time_seconds)
        index = int(np.searchsorted(chews, time_seconds, side="right")) - 1
        since = time_seconds - float(chews[index]) if index >= 0 else 9.0
        return 0.4 * float(np.sin(np.pi * min(since / 0.35, 1.0))) ** 2, 0.5

    def solids(time_seconds: float) -> list[Solid]:
        yaw, pitch = position_at(nods, poses, time_seconds, 0.25).tolist()
        turn, middle = turned(yaw=yaw, pitch=pitch), vector(0, 0.58, 0)
        closed = 1.0 - (1.0 if _since(blinks, time_seconds) < 0.14 else 0.0)
        found = [
            ball(vector(0, 0.06, 0.05), vector(0.42, 0.22, 0.2), shirt, grain=pattern),
            ball(vector(0, 0.26, 0.04), vector(0.1, 0.2, 0.1), skin),
            ball(middle, vector(0.24, 0.32, 0.25), skin, turn, owner=label),
            ball(middle + turn @ vector(0, 0.1, 0.06), vector(0.265, hair_height, 0.255), hair, turn, owner=label),
            ball(middle + turn @ vector(0, -0.03, -0.25), vector(0.03, 0.07, 0.05), skin, turn, **looks),
        ]
        for side in (-1, 1):
            eye = middle + turn @ vector(0.09 * side, 0.06, -0.215)
            found.append(ball(eye, vector(0.045, 0.03 * closed + 0.003, 0.02), (0.95, 0.95, 0.95), turn, shadow_y=None))
            found.append(ball(eye + turn @ vector(0, 0, -0.015), vector(0.02, 0.02 * closed + 0.001, 0.01),
                              (0.1, 0.08, 0.06), turn, shadow_y=None))  # fmt: skip
            found.append(
                box(eye + turn @ vector(0, 0.06, -0.005), vector(0.05, 0.009, 0.01), hair, turn, shadow_y=None)
            )
        return found + _mouth(middle, turn, *mouth(time_seconds))

    def _mouth(middle: Array, turn: Array, opening: float, width: float) -> list[Solid]:
        wide, tall = 0.065 + 0.04 * width, 0.07 * opening
        at = middle + turn @ vector(0, -0.16 - 0.5 * tall, -0.215)
        return [
            ball(at, vector(wide + 0.014, tall + 0.02, 0.04), lips, turn, **looks),
            ball(at + turn @ vector(0, 0, -0.02), vector(wide, tall + 0.003, 0.03), (0.16, 0.04, 0.05), turn, **looks),
        ]

    return Actor(label, solids, sounds, events, vector(0, 0.45, 0))


def _since(starts: Array, time_seconds: float) -> float:
    index = int(np.searchsorted(starts, time_seconds, side="right")) - 1
    return time_seconds - float(starts[index]) if index >= 0 else 9.0


def _hue(rng: np.random.Generator, high: float) -> Colour:
    red, green, blue = rng.uniform(0.05, high, 3).tolist()
    return (red, green, blue)
