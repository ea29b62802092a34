"""A talking face: the mouth follows the speech; head, eyes, brows and a hand move independently of it."""

from __future__ import annotations

import numpy as np

from cavsync.data.synth.canvas import Canvas, Colour, shade
from cavsync.data.synth.espeak import espeak_speech
from cavsync.data.synth.rhythm import bursts, position_at
from cavsync.data.synth.spec import ClipSpec
from cavsync.data.synth.speech import synthetic_speech

_SKINS: tuple[Colour, ...] = ((240, 200, 175), (222, 172, 138), (190, 135, 100), (140, 95, 68), (95, 64, 48))
_HAIRS: tuple[Colour, ...] = ((40, 30, 25), (90, 60, 35), (190, 150, 80), (130, 130, 135), (150, 60, 35))


class Face:
    """One speaker who fills most of the frame."""

    def __init__(self, spec: ClipSpec) -> None:
        rng = spec.random("face")
        speak = espeak_speech if spec.speech == "espeak-ng" else synthetic_speech
        self.speech = speak(spec.random("speech"), spec.duration_seconds, spec.audio_rate_hz)
        self.sounds = self.speech.sounds
        skin = shade(_SKINS[int(rng.integers(len(_SKINS)))], rng.uniform(0.9, 1.08))
        height = rng.uniform(0.4, 0.47)
        self._skin, self._hair = skin, _HAIRS[int(rng.integers(len(_HAIRS)))]
        self._shirt: Colour = (int(rng.integers(30, 220)), int(rng.integers(30, 220)), int(rng.integers(30, 220)))
        self._lips: Colour = (min(255, skin[0] + 5), int(skin[1] * 0.55), int(skin[2] * 0.6))
        self._centre = (0.5 + rng.uniform(-0.06, 0.06), 0.48 + rng.uniform(-0.03, 0.03))
        self._radii = (height * rng.uniform(0.72, 0.85), height)
        self._mouth_width, self._mouth_opening = rng.uniform(0.13, 0.16), rng.uniform(0.075, 0.095)
        self._eye_gap, self._long_hair = rng.uniform(0.12, 0.15), bool(rng.random() < 0.5)
        self._sway = spec.clutter * rng.uniform(0.008, 0.03, 2)
        self._sway_hz = rng.uniform(0.3, 1.1, 2)
        self._nods = bursts(rng, spec.duration_seconds, rng.uniform(0.6, 1.1), spec.clutter)
        self._nod_places = rng.uniform(-0.05, 0.05, (len(self._nods) + 1, 2)) * spec.clutter
        self._blinks = bursts(rng, spec.duration_seconds, 1.6, 1.0)
        self._brows = bursts(rng, spec.duration_seconds, 1.1, 1.0)
        self._hand = bursts(rng, spec.duration_seconds, rng.uniform(0.4, 0.7), spec.clutter)
        self._hand_places = rng.uniform((0.0, 0.86), (1.0, 1.0), (len(self._hand) + 1, 2))
        self._hand_shown = spec.clutter > 0

    def draw_still(self, canvas: Canvas) -> None:
        """Draw the shoulders."""
        u, v = self._centre
        canvas.ellipse((u, v + self._radii[1] + 0.3), (0.55, 0.28), self._shirt)

    def draw(self, canvas: Canvas, time_seconds: float) -> None:
        """Draw head, features, mouth and hand."""
        place = position_at(self._nods, self._nod_places, time_seconds, 0.2).tolist()
        sway = self._sway * np.sin(2 * np.pi * self._sway_hz * time_seconds)
        u, v = self._centre[0] + place[0] + float(sway[0]), self._centre[1] + place[1] + float(sway[1])
        ru, rv = self._radii
        canvas.line([(u, v + 0.5 * rv), (u, v + rv + 0.08)], 0.2, shade(self._skin, 0.85))
        with canvas.owned_by("face"):
            canvas.ellipse((u, v - 0.12 * rv), (1.1 * ru, rv * (1.15 if self._long_hair else 0.98)), self._hair)
            canvas.ellipse((u, v), (ru, rv), self._skin)
            canvas.ellipse((u, v - 0.88 * rv), (0.75 * ru, 0.22 * rv), self._hair)
            self._draw_eyes(canvas, u, v - 0.22 * rv, time_seconds)
            canvas.polygon([(u, v - 0.1 * rv), (u - 0.035, v + 0.17 * rv), (u + 0.035, v + 0.17 * rv)],
                           shade(self._skin, 0.8))  # fmt: skip
            self._draw_mouth(canvas, u, v + 0.5 * rv, *self.speech.mouth(time_seconds))
        if self._hand_shown:
            self._draw_hand(canvas, time_seconds)

    def _draw_mouth(self, canvas: Canvas, u: float, v: float, opening: float, width: float) -> None:
        """Draw lips around a dark opening with teeth above and a tongue below."""
        half_width = self._mouth_width * (0.62 + 0.38 * width)
        half_height = self._mouth_opening * opening
        # The jaw moves down, so the middle of the mouth sinks as it opens.
        v += 0.5 * half_height
        canvas.ellipse((u, v), (half_width + 0.015, half_height + 0.022), self._lips)
        if opening > 0.04:
            canvas.ellipse((u, v), (0.92 * half_width, half_height), (45, 12, 16))
            canvas.ellipse((u, v + 0.55 * half_height), (0.5 * half_width, 0.35 * half_height), (185, 80, 85))
        if opening > 0.35:
            canvas.rectangle((u - 0.5 * half_width, v - 0.85 * half_height), (u + 0.5 * half_width,
                             v - 0.5 * half_height), (240, 238, 230))  # fmt: skip

    def _draw_eyes(self, canvas: Canvas, u: float, v: float, time_seconds: float) -> None:
        index = int(np.searchsorted(self._blinks, time_seconds))
        closed = index > 0 and time_seconds - self._blinks[index - 1] < 0.14
        raised = 0.02 * (int(np.searchsorted(self._brows, time_seconds)) % 2)
        for side in (-1, 1):
            eye = (u + side * self._eye_gap, v)
            if closed:
                canvas.line([(eye[0] - 0.05, v), (eye[0] + 0.05, v)], 0.014, shade(self._skin, 0.6))
            else:
                canvas.ellipse(eye, (0.055, 0.032), (245, 245, 245))
                canvas.ellipse(eye, (0.026, 0.028), (50, 45, 40))
            brow = v - 0.075 - raised
            canvas.line([(eye[0] - 0.06, brow), (eye[0] + 0.06, brow)], 0.02, shade(self._hair, 0.9))

    def _draw_hand(self, canvas: Canvas, time_seconds: float) -> None:
        u, v = position_at(self._hand, self._hand_places, time_seconds, 0.2).tolist()
        canvas.line([(u, v), (u + 0.3 * (u - 0.5), v + 0.5)], 0.12, shade(self._shirt, 0.8))
        for finger in (-1.5, -0.5, 0.5, 1.5):
            canvas.line([(u + 0.025 * finger, v), (u + 0.045 * finger, v - 0.11)], 0.03, shade(self._skin, 0.92))
        canvas.ellipse((u, v), (0.075, 0.07), self._skin)
