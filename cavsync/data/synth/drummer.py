"""A drummer with two sticks and a pedal; each drum and cymbal has its own look and sound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cavsync.data.synth.canvas import Canvas, Colour, Point, blend, shade
from cavsync.data.synth.rhythm import Stroke, Strokes, decay, irregular_times, spaced_times, with_near_misses
from cavsync.data.synth.scene import Sound
from cavsync.data.synth.spec import ClipSpec
from cavsync.data.synth.timbres import KIT_TIMBRES

_MIN_GAP_SECONDS = {"hand": 0.3, "foot": 0.34}


@dataclass(frozen=True)
class DrumPart:
    """A drum or cymbal: the centre and the radii of its striking surface."""

    name: str
    centre: Point
    radii: Point
    colour: Colour


# The pieces that each hand plays; the pedal plays the kick.
_LEFT, _RIGHT = ("hihat", "snare"), ("tom", "cymbal")
_LAYOUT: dict[str, tuple[Point, Point, Colour]] = {
    "hihat": ((0.14, 0.56), (0.15, 0.035), (225, 190, 70)),
    "snare": ((0.33, 0.72), (0.14, 0.05), (235, 235, 235)),
    "tom": ((0.66, 0.62), (0.13, 0.05), (60, 110, 215)),
    "cymbal": ((0.86, 0.4), (0.16, 0.04), (215, 150, 40)),
    "kick": ((0.5, 0.84), (0.16, 0.15), (190, 40, 60)),
}


class Drummer:
    """Left stick on hi-hat and snare, right stick on tom and cymbal, pedal on the kick drum."""

    def __init__(self, spec: ClipSpec) -> None:
        rng = spec.random("drummer")
        jitter = rng.uniform(-0.03, 0.03, (len(_LAYOUT), 2))
        self.pieces = {
            name: DrumPart(
                name, (centre[0] + shift[0], centre[1] + shift[1]), radii, shade(colour, rng.uniform(0.85, 1.1))
            )
            for (name, (centre, radii, colour)), shift in zip(_LAYOUT.items(), jitter, strict=True)
        }
        self._shirt: Colour = shade((90, 100, 110), rng.uniform(0.6, 1.4))
        self._skin: Colour = shade((215, 170, 140), rng.uniform(0.5, 1.1))
        self._nod_hz, self._nod = rng.uniform(0.7, 1.9), spec.clutter * rng.uniform(0.015, 0.04)
        self._twirl_hz, self._twirl = rng.uniform(1.8, 3.0), spec.clutter * rng.uniform(0.03, 0.08)
        times = irregular_times(rng, spec.duration_seconds, rng.uniform(0.32, 0.45))
        limbs = rng.choice(3, len(times), p=[0.42, 0.38, 0.2])
        self.left = self._limb(rng, spec, times[limbs == 0], _LEFT, "hand")
        self.right = self._limb(rng, spec, times[limbs == 1], _RIGHT, "hand")
        self.foot = self._limb(rng, spec, times[limbs == 2], ("kick",), "foot")
        self._limbs = ((self.left, _LEFT), (self.right, _RIGHT), (self.foot, ("kick",)))
        self.sounds = self._sounds(rng, spec)

    @staticmethod
    def _limb(
        rng: np.random.Generator, spec: ClipSpec, times: np.ndarray, names: tuple[str, ...], kind: str
    ) -> Strokes:
        kept = spaced_times(times, _MIN_GAP_SECONDS[kind])
        hits = [Stroke(time, 0.0, int(rng.integers(len(names)))) for time in kept]
        strokes = with_near_misses(rng, hits, 0.34, 0.9 * spec.clutter)
        return Strokes(strokes, rng.uniform(0.12, 0.17), rng.uniform(0.05, 0.08), rng.uniform(0.14, 0.24))

    def _sounds(self, rng: np.random.Generator, spec: ClipSpec) -> list[Sound]:
        timbres = {name: timbre(rng, spec.audio_rate_hz) for name, timbre in KIT_TIMBRES.items()}
        sounds = []
        for strokes, names in self._limbs:
            for stroke in strokes.strokes:
                if stroke.bottom == 0:
                    name = names[stroke.target]
                    gain = np.float32(rng.uniform(0.35, 0.8))
                    pan = 1.2 * (self.pieces[name].centre[0] - 0.5)
                    sounds.append(Sound(stroke.time_seconds, timbres[name] * gain, name, pan))
        return sounds

    def draw_still(self, canvas: Canvas) -> None:
        """Draw the stands."""
        for name in ("hihat", "cymbal"):
            u, v = self.pieces[name].centre
            canvas.line([(u, v), (u, 1.0)], 0.014, (90, 90, 95))

    def draw(self, canvas: Canvas, time_seconds: float) -> None:
        """Draw the drummer, the kit in front, then sticks and pedal."""
        nod = self._nod * float(np.sin(2 * np.pi * self._nod_hz * time_seconds))
        canvas.rectangle((0.36, 0.34), (0.64, 0.85), self._shirt, radius=0.06)
        canvas.ellipse((0.5 + 0.4 * nod, 0.2 + nod), (0.085, 0.11), self._skin)
        canvas.ellipse((0.5 + 0.4 * nod, 0.13 + nod), (0.09, 0.05), (50, 40, 35))
        for strokes, names in self._limbs:
            since, struck = strokes.since_contact(time_seconds)
            for index, name in enumerate(names):
                with canvas.owned_by(name):
                    self._draw_piece(canvas, self.pieces[name], since if index == struck else 9.0)
        self._draw_arm(canvas, time_seconds, self.left, _LEFT, -1)
        self._draw_arm(canvas, time_seconds, self.right, _RIGHT, 1)
        self._draw_pedal(canvas, self.foot.height(time_seconds))

    @staticmethod
    def _draw_piece(canvas: Canvas, piece: DrumPart, since_seconds: float) -> None:
        """Draw a piece: after a hit, a drum brightens and sinks, a cymbal swings."""
        glow = decay(since_seconds, 0.12)
        (u, v), (ru, rv) = piece.centre, piece.radii
        colour = blend(piece.colour, (255, 250, 220), 0.3 * glow)
        if piece.name in ("hihat", "cymbal"):
            tilt = 0.05 * glow * float(np.cos(2 * np.pi * 6 * since_seconds))
            canvas.polygon([(u - ru, v - tilt), (u, v - rv - 0.01), (u + ru, v + tilt), (u, v + rv)], colour)
            if piece.name == "hihat":
                canvas.polygon([(u - ru, v + 0.03), (u, v + rv + 0.03), (u + ru, v + 0.03)], shade(colour, 0.75))
        elif piece.name == "kick":
            canvas.ellipse((u, v), (ru + 0.025, rv + 0.025), (70, 60, 60))
            canvas.ellipse((u, v), (ru * (1 + 0.08 * glow), rv * (1 + 0.08 * glow)), colour)
            canvas.ellipse((u, v), (0.3 * ru, 0.3 * rv), shade(colour, 0.7))
        else:
            drop = 0.03 * glow
            shell = (170, 60, 50) if piece.name == "snare" else shade(piece.colour, 0.6)
            canvas.rectangle((u - ru, v), (u + ru, v + 0.13), shell)
            canvas.ellipse((u, v + 0.13), (ru, rv), shell)
            canvas.ellipse((u, v + drop), (ru, rv), colour)

    def _draw_arm(
        self, canvas: Canvas, time_seconds: float, strokes: Strokes, names: tuple[str, ...], side: int
    ) -> None:
        """Draw arm, hand and stick; the tip touches the piece at contact and twirls above it in between."""
        old, new, moved = strokes.targets(time_seconds)
        start, stop = (self.pieces[names[index]].centre for index in (old, new))
        height = strokes.height(time_seconds)
        turn = 2 * np.pi * self._twirl_hz * time_seconds + side
        tip = (
            start[0] + (stop[0] - start[0]) * moved + self._twirl * height * float(np.cos(turn)),
            start[1] + (stop[1] - start[1]) * moved - 0.26 * height + self._twirl * height * float(np.sin(turn)) - 0.02,
        )
        shoulder = (0.5 + side * 0.13, 0.38)
        hand = (tip[0] + (0.5 + side * 0.12 - tip[0]) * 0.5, tip[1] + (0.45 - tip[1]) * 0.35)
        canvas.line([shoulder, hand], 0.055, self._shirt)
        canvas.ellipse(hand, (0.035, 0.035), self._skin)
        canvas.line([hand, tip], 0.022, (235, 205, 150))
        canvas.ellipse(tip, (0.028, 0.028), (250, 225, 170))

    def _draw_pedal(self, canvas: Canvas, height: float) -> None:
        u, v = self.pieces["kick"].centre
        canvas.line([(u + 0.02, v + 0.2), (u + 0.16 * height, v + 0.02)], 0.02, (60, 60, 65))
        canvas.ellipse((u + 0.2 * height, v + 0.02), (0.045, 0.045), (240, 240, 240))
