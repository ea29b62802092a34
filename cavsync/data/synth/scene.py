"""What a family gives to the renderer: sounds placed on the frame's time line, and a way to draw any instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cavsync.data.synth.canvas import Canvas

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sound:
    """Mono `samples` whose first one belongs to the frame at `time_seconds`; `pan` from -1 (left) to 1 (right).

    `events` lists the true event times inside the sound, in frame seconds: its start for a blow, each syllable
    for speech.
    """

    time_seconds: float
    samples: Samples
    label: str
    pan: float = 0.0
    events: tuple[float, ...] = ()

    @property
    def event_times(self) -> tuple[float, ...]:
        """Frame times that the sound marks."""
        return self.events or (self.time_seconds,)


class Scene(Protocol):
    """One world of one family. Times are frame seconds; scenes reach MARGIN_SECONDS beyond the clip at both ends."""

    @property
    def sounds(self) -> list[Sound]:
        """Every sound that something visible makes."""

    def draw_still(self, canvas: Canvas) -> None:
        """Draw the parts that never move, once."""

    def draw(self, canvas: Canvas, time_seconds: float) -> None:
        """Draw the moving parts as they are at one instant, over the still ones."""
