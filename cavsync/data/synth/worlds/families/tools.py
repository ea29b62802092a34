"""Tools: a hammer on wood, metal, stone or ceramic, and a saw or file that is drawn to and fro."""

from __future__ import annotations

import numpy as np

from cavsync.data.synth.rhythm import (
    Stroke,
    Strokes,
    decay,
    irregular_times,
    position_at,
    spaced_times,
    with_near_misses,
)
from cavsync.data.synth.scene import Sound
from cavsync.data.synth.spec import MARGIN_SECONDS
from cavsync.data.synth.worlds.actor import Actor, Part
from cavsync.data.synth.worlds.grains import grain
from cavsync.data.synth.worlds.shapes import Colour, Solid, box, limb, rod, turned, vector
from cavsync.data.synth.worlds.sounds.impact import impact
from cavsync.data.synth.worlds.sounds.strings import rubbed
from cavsync.data.synth.worlds.strokes import draw_strokes

# Workpiece -> colour, pattern, shine.
_PIECES: dict[str, tuple[Colour, str, float]] = {
    "wood": ((0.62, 0.44, 0.25), "wood", 0.0),
    "steel": ((0.55, 0.57, 0.6), "plain", 0.8),
    "stone": ((0.6, 0.6, 0.58), "stone", 0.0),
    "ceramic": ((0.85, 0.8, 0.72), "plain", 0.5),
    "tin": ((0.7, 0.72, 0.75), "stripes", 0.6),
}
_SKIN: Colour = (0.8, 0.6, 0.48)


def make(part: Part) -> Actor:
    """Draw a hammer with its workpiece, or a saw in a plank."""
    return _hammer(part) if part.rng.random() < 0.65 else _saw(part)


def _hammer(part: Part) -> Actor:
    rng = part.rng
    material = str(rng.choice(list(_PIECES)))
    hue, pattern_name, shine = _PIECES[material]
    size, pattern = rng.uniform(1.0, 2.2), grain(rng, pattern_name)
    label = f"hammer-{material}"
    hits = spaced_times(irregular_times(rng, part.spec.duration_seconds, part.pace * rng.uniform(0.6, 0.9)), 0.36)
    strokes = [Stroke(time, 0.0) for time in hits]
    strokes = with_near_misses(rng, strokes, 0.36, 0.9 if part.silent_moves else 0.0)
    motion = Strokes(strokes, rng.uniform(0.13, 0.18), 0.04, rng.uniform(0.18, 0.28))
    times = np.array([stroke.time_seconds for stroke in motion.strokes])
    # The higher the hammer is lifted, the harder it strikes.
    swings = np.append(rng.uniform(0.3, 1.0, len(times)), 0.5)
    sounds, events = [], []
    for number, stroke in enumerate(motion.strokes):
        if stroke.bottom == 0:
            blow = impact(rng, part.rate_hz, material, float(swings[number]), size)
            sounds.append(Sound(stroke.time_seconds, blow, label))
            events.append(stroke.time_seconds)
    half = vector(0.08 + 0.06 * size, 0.05 + 0.03 * size, 0.1)
    top, sway_hz = 2 * half[1], rng.uniform(1.2, 2.4)
    head_hue: Colour = (0.25, 0.25, 0.28)

    def solids(time_seconds: float) -> list[Solid]:
        swing = float(position_at(times, swings, time_seconds, 0.12))
        height = motion.height(time_seconds) * swing
        since, _ = motion.since_contact(time_seconds)
        hop = 0.012 * decay(since, 0.06)
        wander = 0.06 * height * float(np.sin(2 * np.pi * sway_hz * time_seconds)) if part.silent_moves else 0.0
        turn = turned(roll=-1.1 * height)
        grip = vector(0.36 + wander, top + 0.035 + 0.12 * height, 0.0)
        head = grip + turn @ vector(-0.36, 0, 0)
        return [
            box(vector(0, half[1] + hop, 0), half, hue, grain=pattern, grain_scale=2.0, shine=shine, owner=label),
            rod(head + turn @ vector(0, -0.035, 0), head + turn @ vector(0, 0.09, 0), 0.045, head_hue, shine=0.6),
            rod(head, grip + turn @ vector(0.08, 0, 0), 0.014, (0.6, 0.42, 0.24)),
            *limb(grip + vector(0.45, 0.3, 0.15), grip, 0.045, _SKIN, shadow_y=None),
        ]

    return Actor(label, solids, sounds, events, vector(0, top, 0))


def _saw(part: Part) -> Actor:
    rng, rate_hz = part.rng, part.rate_hz
    metal = bool(rng.random() < 0.4)
    label = "file-steel" if metal else "saw-wood"
    strokes = draw_strokes(rng, part.spec.duration_seconds, (0.3 * part.pace, 0.7 * part.pace), 0.25,
                           0.3 if part.silent_moves else 0.0)  # fmt: skip
    line = part.sample_times()
    speed, way = strokes.contact_speed(line), strokes.place(line)
    forward = np.gradient(way) >= 0
    teeth = way * (60 if metal else 24)
    band = (1800.0, 6500.0) if metal else (500.0, 3500.0)
    samples = rubbed(rng, rate_hz, speed * np.where(forward, 1.0, 0.6), band, teeth)
    pattern = grain(rng, "wood")
    piece: Colour = (0.6, 0.62, 0.66) if metal else (0.7, 0.52, 0.32)

    def solids(time_seconds: float) -> list[Solid]:
        x = 0.5 * (float(strokes.place(np.array([time_seconds]))[0]) - 0.5)
        lift = 0.16 * strokes.lifted(time_seconds)
        blade = vector(x, 0.2 + lift, 0)
        return [
            box(vector(0, 0.08, 0), vector(0.12, 0.08, 0.3), piece, grain=pattern, shine=0.5 if metal else 0.0),
            box(blade, vector(0.34, 0.045 if not metal else 0.02, 0.008), (0.75, 0.77, 0.8), shine=0.6, owner=label),
            box(blade + vector(0.36, 0.03, 0), vector(0.05, 0.08, 0.025), (0.5, 0.25, 0.15)),
            *limb(blade + vector(0.75, 0.35, 0.1), blade + vector(0.38, 0.05, 0), 0.045, _SKIN, shadow_y=None),
        ]

    return Actor(label, solids, [Sound(-MARGIN_SECONDS, samples, label)], strokes.events(), vector(0, 0.2, 0))
