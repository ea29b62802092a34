"""A computer: clicks change what its screen shows, keys write letters, messages pop up with a signal.

Much on the screen moves by itself and makes no sound: a picture that scrolls, a wheel that turns, a cursor that blinks.
"""

from __future__ import annotations

import numpy as np

from cavsync.data.synth.rhythm import ease, irregular_times, spaced_times
from cavsync.data.synth.scene import AudioArray, Sound
from cavsync.data.synth.worlds.actor import Actor, Part
from cavsync.data.synth.worlds.grains import clouds
from cavsync.data.synth.worlds.shapes import Colour, Image, Solid, ball, box, limb, vector
from cavsync.data.synth.worlds.sounds.switches import key_click, mouse_click, signal_tone

_WIDTH, _HEIGHT = 128, 80
_ROWS, _COLUMNS = 3, 3
_LABEL = "screen"


def make(part: Part) -> Actor:
    """Draw a screen with a keyboard and a mouse."""
    rng = part.rng
    times = np.array(
        spaced_times(irregular_times(rng, part.spec.duration_seconds, part.pace * rng.uniform(0.4, 0.6)), 0.28)
    )
    acts = rng.choice(["click", "key", "message"], len(times), p=[0.5, 0.35, 0.15])
    targets = rng.integers(_ROWS * _COLUMNS, size=len(times))
    tones = tuple(float(hz) for hz in rng.choice([660.0, 880.0, 990.0, 1320.0], 2, replace=False))
    sounds = [Sound(float(time), _sound(part, str(act), tones), _LABEL) for time, act in zip(times, acts, strict=True)]
    desktop = _Desktop(rng, times, acts, targets, part.silent_moves)
    skin: Colour = (0.78, 0.6, 0.48)
    case: Colour = (0.08, 0.08, 0.09) if rng.random() < 0.6 else (0.8, 0.8, 0.8)

    def solids(time_seconds: float) -> list[Solid]:
        index = int(np.searchsorted(times, time_seconds, side="right"))
        pressed = (
            0.012 * (1 - ease((time_seconds - times[index - 1]) / 0.09))
            if index and acts[index - 1] != "message"
            else 0.0
        )
        u, v = desktop.pointer(time_seconds)
        mouse = vector(0.36 + 0.05 * (u - 0.5), 0.02, -0.26 - 0.05 * (v - 0.5))
        keys = vector(-0.05, 0.015, -0.25)
        return [
            box(
                vector(0, 0.5, 0.1), vector(0.48, 0.31, 0.02), case, picture=desktop.picture(time_seconds), owner=_LABEL
            ),
            box(vector(0, 0.1, 0.14), vector(0.04, 0.1, 0.03), case),
            box(keys, vector(0.26, 0.015, 0.09), (0.25, 0.25, 0.27)),
            ball(mouse, vector(0.04, 0.022 - pressed / 2, 0.06), (0.85, 0.85, 0.85)),
            *limb(mouse + vector(0.15, 0.05, -0.3), mouse + vector(0, 0.05 - pressed, 0), 0.04, skin, shadow_y=None),
            *limb(keys + vector(-0.25, 0.08, -0.3), keys + vector(-0.05, 0.06 - pressed, 0), 0.04, skin, shadow_y=None),
        ]

    return Actor(_LABEL, solids, sounds, [float(time) for time in times], vector(0, 0.5, 0))


def _sound(part: Part, act: str, tones: tuple[float, ...]) -> AudioArray:
    strength = float(part.rng.uniform(0.6, 1.0))
    if act == "click":
        return mouse_click(part.rng, part.rate_hz, strength)
    if act == "key":
        return key_click(part.rng, part.rate_hz, strength)
    return signal_tone(part.rng, part.rate_hz, tones)


class _Desktop:
    """What the screen shows at each instant."""

    def __init__(
        self, rng: np.random.Generator, times: np.ndarray, acts: np.ndarray, targets: np.ndarray, busy: bool
    ) -> None:
        self._times, self._acts, self._targets, self._busy = times, acts, targets, busy
        self._paper = rng.uniform(0.75, 0.95, 3) if rng.random() < 0.6 else rng.uniform(0.08, 0.2, 3)
        self._ink = np.where(self._paper > 0.5, 0.1, 0.9)
        self._plain, self._lit = rng.uniform(0.3, 0.7, 3), rng.uniform(0.0, 1.0, 3)
        self._photo = (clouds(rng, 16, 128)[..., None] * rng.uniform(0.3, 1.0, 3)).astype(np.float32)
        self._scroll_hz, self._turn_hz, self._blink_hz = rng.uniform(15, 60), rng.uniform(0.5, 1.5), rng.uniform(1, 3)
        self._jumps = irregular_times(rng, float(times[-1]) if len(times) else 1.0, 0.7)
        self._lengths = rng.uniform(0.3, 1.0, len(times) + 1)
        clicks = np.flatnonzero(acts == "click")
        self._click_times, self._click_targets = times[clicks], targets[clicks]

    def pointer(self, time_seconds: float) -> tuple[float, float]:
        """Return where the pointer is, 0..1 to the right and down: it gets to a button before the click."""
        if len(self._click_times) == 0:
            return 0.5, 0.5
        index = min(int(np.searchsorted(self._click_times, time_seconds)), len(self._click_times) - 1)
        old, new = (self._button(int(self._click_targets[i])) for i in (max(index - 1, 0), index))
        start = float(self._click_times[index - 1]) + 0.12 if index else -99.0
        moved = ease((time_seconds - start) / max(float(self._click_times[index]) - 0.1 - start, 0.05))
        return old[0] + (new[0] - old[0]) * moved, old[1] + (new[1] - old[1]) * moved

    @staticmethod
    def _button(target: int) -> tuple[float, float]:
        return 0.1 + 0.14 * (target % _COLUMNS), 0.2 + 0.22 * (target // _COLUMNS)

    def picture(self, time_seconds: float) -> Image:
        """Return the screen, (height, width, 3) in 0..1."""
        screen = np.empty((_HEIGHT, _WIDTH, 3), dtype=np.float32)
        screen[:] = self._paper
        done = int(np.searchsorted(self._times, time_seconds, side="right"))
        self._draw_buttons(screen, done)
        self._draw_text(screen, done, time_seconds)
        if self._busy:
            self._draw_busy(screen, time_seconds)
        self._draw_message(screen, done, time_seconds)
        u, v = self.pointer(time_seconds)
        x, y = int(u * _WIDTH), int(v * _HEIGHT)
        screen[y : y + 7, x : x + 4] = 1.0
        screen[y + 1 : y + 6, x + 1 : x + 3] = 0.0
        return screen

    def _draw_buttons(self, screen: Image, done: int) -> None:
        """Draw the buttons; every click turns its button on or off, and the panel's colour with it."""
        clicked = self._targets[:done][self._acts[:done] == "click"]
        counts = np.bincount(clicked, minlength=_ROWS * _COLUMNS)
        for target, count in enumerate(counts):
            u, v = self._button(target)
            x, y = int(u * _WIDTH), int(v * _HEIGHT)
            screen[y - 6 : y + 6, x - 7 : x + 7] = self._lit if count % 2 else self._plain
        bar = self._lit if len(clicked) % 2 else self._ink
        screen[2:8, 3 : 6 + 12 * (1 + len(clicked) % 4)] = bar

    def _draw_text(self, screen: Image, done: int, time_seconds: float) -> None:
        """Draw lines of letters, one more for every key."""
        written = int((self._acts[:done] == "key").sum())
        for letter in range(written % 24):
            x, y = 68 + 7 * (letter % 8), 12 + 9 * (letter // 8)
            screen[y : y + 6, x : x + 4 + letter % 2] = self._ink
        if int(time_seconds * self._blink_hz * 2) % 2 == 0:
            x, y = 68 + 7 * (written % 24 % 8), 12 + 9 * (written % 24 // 8)
            screen[y : y + 7, x : x + 1] = self._ink

    def _draw_busy(self, screen: Image, time_seconds: float) -> None:
        """Draw what moves without a sound: a scrolling picture that jumps, a turning wheel, a bar that grows."""
        shift = int(self._scroll_hz * time_seconds) + 31 * int(np.searchsorted(self._jumps, time_seconds))
        screen[42:62, 66:124] = np.take(self._photo, np.arange(shift, shift + 20), axis=0, mode="wrap")[:, :58]
        turn = 2 * np.pi * self._turn_hz * time_seconds
        x, y = int(58 + 4 * np.cos(turn)), int(70 + 4 * np.sin(turn))
        screen[y - 2 : y + 2, x - 2 : x + 2] = self._ink
        screen[68:72, 68 : 68 + int(54 * ((0.4 * time_seconds) % 1.0))] = self._lit

    def _draw_message(self, screen: Image, done: int, time_seconds: float) -> None:
        if done and self._acts[done - 1] == "message" and time_seconds - self._times[done - 1] < 0.8:
            screen[28:52, 34:100] = self._ink
            screen[30:50, 36:98] = 1 - self._ink
            screen[36:40, 42 : 42 + int(48 * self._lengths[done])] = self._ink
