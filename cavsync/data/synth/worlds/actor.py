"""The interface of an actor: an object or a group that moves and sounds, in a box of its own.

An actor stands on y = 0 within about ±0.5 in x and z and up to a height of 1; the world scales, turns and places it.
Its times are seconds of video time, and its motion and sounds reach MARGIN_SECONDS beyond both ends of the clip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cavsync.data.synth.rhythm import bursts
from cavsync.data.synth.scene import Sound
from cavsync.data.synth.spec import MARGIN_SECONDS, ClipSpec
from cavsync.data.synth.worlds.shapes import Array, Solid, vector


@dataclass
class Actor:
    """One source of sound.

    `solids(time_seconds)` returns what it looks like; `sounds` are dry; `events` are the moments, in seconds, at which
    picture and sound change together. `middle` is where it acts, which has to be in the frame for an event to be seen.
    `on_table` says whether it is used on a table, rather than on the floor.
    """

    label: str
    solids: Callable[[float], list[Solid]]
    sounds: list[Sound]
    events: list[float]
    middle: Array = field(default_factory=lambda: vector(0.0, 0.4, 0.0))
    on_table: bool = True


@dataclass(frozen=True)
class Part:
    """The inputs of an actor: the clip, the actor's own random stream, a factor for the times between its events,
    whether it also makes moves that are silent, and which of how many actors of its family it is."""

    spec: ClipSpec
    rng: np.random.Generator
    pace: float = 1.0
    silent_moves: bool = True
    number: int = 0
    company: int = 1

    @property
    def rate_hz(self) -> int:
        """Sampling rate of its sounds."""
        return self.spec.audio_rate_hz

    def sample_times(self) -> Array:
        """Return the time in seconds of each sample of a sound that lasts over the clip and its margins."""
        count = round((self.spec.duration_seconds + 2 * MARGIN_SECONDS) * self.rate_hz)
        return np.asarray(np.arange(count) / self.rate_hz - MARGIN_SECONDS, dtype=np.float64)

    def silent_times(self, interval_seconds: float) -> Array:
        """Draw the times of moves that make no sound; none where the actor makes no such moves."""
        return bursts(self.rng, self.spec.duration_seconds, interval_seconds, 1.0 if self.silent_moves else 0.0)


MakeActor = Callable[[Part], Actor]
