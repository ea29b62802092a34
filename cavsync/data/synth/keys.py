"""An instrument whose keys light up with their notes; silent hands move over it and silent lamps blink."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from cavsync.data.synth.canvas import Canvas, Colour, Point, blend, shade
from cavsync.data.synth.rhythm import Times, bursts, irregular_times, position_at
from cavsync.data.synth.scene import Sound
from cavsync.data.synth.spec import ClipSpec
from cavsync.data.synth.timbres import note

# Each pitch has its place and colour. The steps are wide, so that a log-mel spectrogram separates the notes.
PITCHES_HZ = (131.0, 175.0, 233.0, 311.0, 415.0, 554.0, 740.0, 988.0)
KEY_COLOURS: tuple[Colour, ...] = tuple(
    (round(r * 255), round(g * 255), round(b * 255))
    for r, g, b in (colorsys.hsv_to_rgb(index / len(PITCHES_HZ), 0.95, 1.0) for index in range(len(PITCHES_HZ)))
)


@dataclass(frozen=True)
class Note:
    """A lit key: it lights up at once, fades slowly while it is held, and goes dark suddenly without a sound."""

    time_seconds: float
    key: int
    hold_seconds: float

    def light(self, time_seconds: float) -> float:
        """Return the brightness of its key in 0..1."""
        since = time_seconds - self.time_seconds
        return 1 - 0.45 * since / self.hold_seconds if 0 <= since < self.hold_seconds else 0.0


class Keys:
    """Eight keys in a row, or pads in two rows, or pipes of falling length."""

    def __init__(self, spec: ClipSpec) -> None:
        rng = spec.random("keys")
        self._layout = str(rng.choice(["row", "pads", "pipes"]))
        self._plain: Colour = shade((225, 220, 205), rng.uniform(0.35, 0.9))
        self._top = float(rng.uniform(0.42, 0.5))
        self._lamps = [bursts(rng, spec.duration_seconds, 0.8, spec.clutter) for _ in range(4)]
        self._hands = [_Hand.draw_one(rng, spec, side) for side in (-1, 1)] if spec.clutter > 0 else []
        instrument = str(rng.choice(["piano", "organ", "pluck", "chime"]))
        times = irregular_times(rng, spec.duration_seconds, rng.uniform(0.4, 0.6)).tolist()
        self.notes: list[Note] = []
        self.sounds: list[Sound] = []
        busy_until = dict.fromkeys(range(len(PITCHES_HZ)), -1e9)
        for time in times:
            free = [key for key, until in busy_until.items() if until < time - 0.1]
            key, hold = int(rng.choice(free)), float(rng.uniform(0.35, 1.0))
            busy_until[key] = time + hold
            self.notes.append(Note(time, key, hold))
            wave = note(rng, spec.audio_rate_hz, instrument, PITCHES_HZ[key], hold)
            gain = np.float32(rng.uniform(0.3, 0.65))
            self.sounds.append(Sound(time, wave * gain, f"key-{key}", pan=key / 7 - 0.5))
        self._starts = np.array(times)

    def box(self, key: int, count: int = len(PITCHES_HZ)) -> tuple[Point, Point]:
        """Return the upper left and lower right corner of a key."""
        if self._layout == "pads":
            u, v = 0.04 + 0.235 * (key % 4), self._top + 0.25 * (1 - key // 4)
            return (u, v), (u + 0.21, v + 0.22)
        u, width = 0.02 + 0.12 * key, 0.108
        top = self._top - 0.03 * (count - key) + 0.1 if self._layout == "pipes" else self._top
        return (u, top), (u + width, 0.94)

    def draw_still(self, canvas: Canvas) -> None:
        """Draw the case and the unlit keys."""
        canvas.rectangle((-0.03, self._top - 0.14), (1.03, 0.99), (45, 40, 42), radius=0.03)
        for key in range(len(PITCHES_HZ)):
            with canvas.owned_by(f"key-{key}"):
                canvas.rectangle(*self.box(key), blend(self._plain, KEY_COLOURS[key], 0.12), radius=0.012)

    def draw(self, canvas: Canvas, time_seconds: float) -> None:
        """Draw lit keys, lamps and hands."""
        first = int(np.searchsorted(self._starts, time_seconds - 1.01))
        last = int(np.searchsorted(self._starts, time_seconds, side="right"))
        for played in self.notes[first:last]:
            light = played.light(time_seconds)
            if light > 0:
                low, high = self.box(played.key)
                with canvas.owned_by(f"key-{played.key}"):
                    canvas.rectangle(low, high, blend(self._plain, KEY_COLOURS[played.key], light), radius=0.012)
        for index, starts in enumerate(self._lamps):
            lit = int(np.searchsorted(starts, time_seconds)) % 2
            u = 0.14 + 0.24 * index
            canvas.ellipse((u, self._top - 0.08), (0.055, 0.045), (250, 245, 230) if lit else (80, 76, 72))
        for hand in self._hands:
            hand.draw(canvas, time_seconds)


@dataclass(frozen=True)
class _Hand:
    """A hand that jumps from place to place over the keys and never plays."""

    starts: Times
    places: np.ndarray
    colour: Colour
    wiggle_hz: float

    @classmethod
    def draw_one(cls, rng: np.random.Generator, spec: ClipSpec, side: int) -> _Hand:
        starts = bursts(rng, spec.duration_seconds, rng.uniform(0.35, 0.55), spec.clutter)
        u = 0.5 + side * rng.uniform(0.0, 0.5, len(starts) + 1)
        v = rng.uniform(0.36, 0.8, len(starts) + 1)
        return cls(starts, np.stack([u, v], axis=1), shade((215, 170, 140), rng.uniform(0.5, 1.1)), rng.uniform(1, 3))

    def draw(self, canvas: Canvas, time_seconds: float) -> None:
        """Draw palm, fingers and sleeve."""
        u, v = position_at(self.starts, self.places, time_seconds, 0.18).tolist()
        v += 0.02 * float(np.sin(2 * np.pi * self.wiggle_hz * time_seconds))
        canvas.line([(u, v + 0.02), (u + 0.3 * (u - 0.5), v - 0.6)], 0.08, shade(self.colour, 0.45))
        for finger in (-1.5, -0.5, 0.5, 1.5):
            canvas.line([(u + 0.02 * finger, v), (u + 0.034 * finger, v + 0.09)], 0.022, shade(self.colour, 0.9))
        canvas.ellipse((u, v), (0.06, 0.05), self.colour)
