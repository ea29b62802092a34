"""The interface of a scene: sounds with their times in the video, and a way to draw any instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cavsync.data.synth.canvas import Canvas

AudioArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sound:
    """Mono `samples` whose first one belongs to video time `time_seconds`; `pan` from -1 (left) to 1 (right).

    `events` lists the true event times inside the sound, in seconds of video time: each syllable of speech; empty for
    an impact, whose event is its start.
    """

    time_seconds: float
    samples: AudioArray
    label: str
    pan: float = 0.0
    events: tuple[float, ...] = ()

    @property
    def event_times(self) -> tuple[float, ...]:
        """True event times in seconds of video time."""
        return self.events or (self.time_seconds,)


class Scene(Protocol):
    """The scene of one clip. Times are seconds of video time; scenes extend MARGIN_SECONDS beyond both ends."""

    @property
    def sounds(self) -> list[Sound]:
        """All sounds of visible objects."""

    def draw_still(self, canvas: Canvas) -> None:
        """Draw the parts that never move; called once."""

    def draw(self, canvas: Canvas, time_seconds: float) -> None:
        """Draw the moving parts at one instant, over the still ones."""
