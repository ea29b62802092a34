"""A bowed instrument: the bow's speed is its loudness, the place of the finger on the neck its pitch."""

from __future__ import annotations

import numpy as np

from cavsync.data.synth.rhythm import position_at
from cavsync.data.synth.scene import Sound
from cavsync.data.synth.spec import MARGIN_SECONDS
from cavsync.data.synth.worlds.actor import Actor, Part
from cavsync.data.synth.worlds.grains import grain
from cavsync.data.synth.worlds.shapes import Solid, ball, box, limb, rod, vector
from cavsync.data.synth.worlds.sounds.strings import bowed
from cavsync.data.synth.worlds.strokes import draw_strokes

_BRIDGE_Y, _NECK_LOW, _NECK_HIGH = 0.33, 0.58, 0.9


def make(part: Part) -> Actor:
    """Draw an upright instrument with its bow and a left hand."""
    rng, rate_hz = part.rng, part.rate_hz
    strokes = draw_strokes(rng, part.spec.duration_seconds, (0.3 * part.pace, 1.0 * part.pace), 0.25,
                           0.3 if part.silent_moves else 0.0)  # fmt: skip
    lowest_hz = float(rng.choice([98.0, 147.0, 196.0, 294.0]))
    # The finger moves while the bow turns; some of its moves come while nothing sounds.
    count = len(strokes.starts)
    fingers = np.append(rng.uniform(0, 1, count), 0.5)
    line = part.sample_times()
    index = np.clip(np.searchsorted(strokes.starts, line, side="right"), 0, count)
    vibrato = 1 + 0.006 * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * line)
    pitch = lowest_hz * 2 ** (np.round(fingers * 12) / 12)[index] * vibrato
    label = "bowed-string"
    samples = bowed(rng, rate_hz, pitch, strokes.contact_speed(line))
    pattern, shade = grain(rng, "wood"), rng.uniform(0.5, 1.0)
    hue = (0.75 * shade, 0.4 * shade, 0.2 * shade)
    nods = part.silent_times(0.7)
    tilts = rng.uniform(-0.05, 0.05, len(nods) + 1)

    def solids(time_seconds: float) -> list[Solid]:
        x = 0.62 * (float(strokes.place(np.array([time_seconds]))[0]) - 0.5)
        lift = 0.14 * strokes.lifted(time_seconds)
        finger = float(position_at(strokes.starts, fingers, time_seconds, 0.07))
        sway = float(position_at(nods, tilts, time_seconds, 0.3))
        neck_y = _NECK_HIGH - (_NECK_HIGH - _NECK_LOW) * finger
        bow = vector(x, _BRIDGE_Y + 0.3 * lift, -0.13 - lift)
        skin, side, hair = (0.82, 0.62, 0.5), vector(0.38, 0, 0), vector(0, -0.03, 0.01)
        return [
            ball(vector(0, 0.22, 0), vector(0.21, 0.2, 0.07), hue, grain=pattern, grain_scale=2.0, shine=0.4),
            ball(vector(0, 0.46, 0), vector(0.16, 0.15, 0.065), hue, grain=pattern, grain_scale=2.0, shine=0.4),
            box(vector(0, 0.72, -0.03), vector(0.03, 0.26, 0.025), (0.12, 0.09, 0.08)),
            ball(vector(0, 1.0, -0.02), vector(0.05, 0.05, 0.05), hue),
            box(vector(0, _BRIDGE_Y - 0.04, -0.09), vector(0.07, 0.02, 0.02), (0.85, 0.75, 0.55)),
            *(rod(vector(s, 0.12, -0.085), vector(0.6 * s, 0.97, -0.065), 0.005, (0.9, 0.9, 0.9), shadow_y=None)
              for s in (-0.03, 0.0, 0.03)),
            rod(bow - side, bow + side, 0.011, (0.35, 0.2, 0.12), owner=label, shadow_y=None),
            rod(bow + hair - side, bow + hair + side, 0.007, (0.95, 0.93, 0.85), owner=label, shadow_y=None),
            *limb(bow + vector(0.7, -0.2, 0.2), bow + vector(0.4, 0, 0), 0.045, skin, shadow_y=None),
            *limb(vector(-0.4, 0.45, 0.2), vector(-0.06, neck_y, -0.06), 0.035, skin, shadow_y=None),
            ball(vector(sway, 1.12, 0.16), vector(0.1, 0.13, 0.1), skin, shadow_y=None),
        ]  # fmt: skip

    return Actor(label, solids, [Sound(-MARGIN_SECONDS, samples, label)], strokes.events(), vector(0, 0.4, 0))
