"""Heads that talk in turn, each in a voice of its own; they also chew, nod and turn while they are silent.

The voices are those of the face family: espeak-ng where the clip asks for it, else formants.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cavsync.data.synth.espeak import espeak_speech
from cavsync.data.synth.rhythm import bursts, position_at
from cavsync.data.synth.spec import MARGIN_SECONDS
from cavsync.data.synth.speech import synthetic_speech
from cavsync.data.synth.worlds.actor import Actor, Part
from cavsync.data.synth.worlds.grains import any_grain
from cavsync.data.synth.worlds.shapes import Array, Colour, Solid, ball, box, turned, vector

_SKINS: tuple[Colour, ...] = ((0.94, 0.78, 0.69), (0.8, 0.6, 0.48), (0.6, 0.42, 0.3), (0.38, 0.26, 0.19))
_TURN_SECONDS = 1.6
_LABEL = "voice"
_FEATURE: dict[str, Any] = {"owner": _LABEL, "shadow_y": None}


def make(part: Part) -> Actor:
    """Draw one head; the speakers of a clip speak in turn."""
    speaker = _Speaker(part)
    events = [time for sound in speaker.sounds for time in sound.event_times]
    return Actor(_LABEL, speaker.solids, speaker.sounds, events, vector(0, 0.45, 0))


class _Speaker:
    """Head and shoulders. The mouth follows the speech in this speaker's turns, and chews between them."""

    def __init__(self, part: Part) -> None:
        rng = part.rng
        speak = espeak_speech if part.spec.speech == "espeak-ng" else synthetic_speech
        self._speech = speak(rng, part.spec.duration_seconds, part.rate_hz)
        # All speakers of a clip take their turns on one clock, which begins at a random moment of it.
        phase = float(part.spec.random("turns").uniform(0, _TURN_SECONDS))
        self.sounds = []
        for sound in self._speech.sounds:
            turn = int((sound.time_seconds + MARGIN_SECONDS + 10 + phase) / _TURN_SECONDS)
            if turn % part.company == part.number:
                self.sounds.append(replace(sound, samples=0.8 * sound.samples, label=_LABEL))
        spans = [(s.time_seconds - 0.05, s.time_seconds + len(s.samples) / part.rate_hz + 0.03) for s in self.sounds]
        self._spans = np.array(spans).reshape(-1, 2)
        self._chews, self._nods = part.silent_times(0.7), part.silent_times(0.7)
        amount = np.array([0.5, 0.25]) if part.silent_moves else 0.0
        self._poses = rng.uniform(-1, 1, (len(self._nods) + 1, 2)) * amount
        self._blinks = bursts(rng, part.spec.duration_seconds, 1.5, 1.0)
        self._skin, self._hair = _SKINS[int(rng.integers(4))], _hue(rng, 0.4)
        self._shirt, self._grain = _hue(rng, 0.9), any_grain(rng)
        self._hair_height = 0.36 if rng.random() < 0.5 else 0.3

    def _mouth(self, time_seconds: float) -> tuple[float, float]:
        """Return opening and width, of speech or of chewing."""
        if bool(((self._spans[:, 0] <= time_seconds) & (time_seconds < self._spans[:, 1])).any()):
            return self._speech.mouth(time_seconds)
        since = _since(self._chews, time_seconds)
        return 0.4 * float(np.sin(np.pi * min(since / 0.35, 1.0))) ** 2, 0.5

    def solids(self, time_seconds: float) -> list[Solid]:
        """Return shoulders, head, features and mouth."""
        yaw, pitch = position_at(self._nods, self._poses, time_seconds, 0.25).tolist()
        turn, middle, skin = turned(yaw=yaw, pitch=pitch), vector(0, 0.58, 0), self._skin
        hair_size = vector(0.265, self._hair_height, 0.255)
        found = [
            ball(vector(0, 0.06, 0.05), vector(0.42, 0.22, 0.2), self._shirt, grain=self._grain),
            ball(vector(0, 0.26, 0.04), vector(0.1, 0.2, 0.1), skin),
            ball(middle, vector(0.24, 0.32, 0.25), skin, turn, owner=_LABEL),
            ball(middle + turn @ vector(0, 0.1, 0.06), hair_size, self._hair, turn, owner=_LABEL),
            ball(middle + turn @ vector(0, -0.03, -0.25), vector(0.03, 0.07, 0.05), skin, turn, **_FEATURE),
        ]
        opened = 0.0 if _since(self._blinks, time_seconds) < 0.14 else 1.0
        return found + self._eyes(middle, turn, opened) + self._lips(middle, turn, *self._mouth(time_seconds))

    def _eyes(self, middle: Array, turn: Array, opened: float) -> list[Solid]:
        found = []
        for side in (-1, 1):
            eye, pupil = middle + turn @ vector(0.09 * side, 0.06, -0.215), turn @ vector(0, 0, -0.015)
            brow = eye + turn @ vector(0, 0.06, -0.005)
            found += [
                ball(eye, vector(0.045, 0.03 * opened + 0.003, 0.02), (0.95, 0.95, 0.95), turn, shadow_y=None),
                ball(eye + pupil, vector(0.02, 0.02 * opened + 0.001, 0.01), (0.1, 0.08, 0.06), turn, shadow_y=None),
                box(brow, vector(0.05, 0.009, 0.01), self._hair, turn, shadow_y=None),
            ]
        return found

    def _lips(self, middle: Array, turn: Array, opening: float, width: float) -> list[Solid]:
        wide, tall = 0.065 + 0.04 * width, 0.07 * opening
        at, skin = middle + turn @ vector(0, -0.16 - 0.5 * tall, -0.215), self._skin
        lips: Colour = (min(skin[0] + 0.05, 1.0), 0.55 * skin[1], 0.58 * skin[2])
        throat = at + turn @ vector(0, 0, -0.02)
        return [
            ball(at, vector(wide + 0.014, tall + 0.02, 0.04), lips, turn, **_FEATURE),
            ball(throat, vector(wide, tall + 0.003, 0.03), (0.16, 0.04, 0.05), turn, **_FEATURE),
        ]


def _since(starts: Array, time_seconds: float) -> float:
    index = int(np.searchsorted(starts, time_seconds, side="right")) - 1
    return time_seconds - float(starts[index]) if index >= 0 else 9.0


def _hue(rng: np.random.Generator, high: float) -> Colour:
    red, green, blue = rng.uniform(0.05, high, 3).tolist()
    return (red, green, blue)
