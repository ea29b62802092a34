"""What localisation is asked: a picture, a sound, and where in the picture the sound is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from cavsync.data.clip_audio import ClipAudio
from cavsync.evaluate.inputs.encoders import Encoder
from cavsync.media.align import segment_start_frame

TARGET_SIZE = 224
"""Side of the square on which heat maps and targets are compared, as in the published protocols."""


@dataclass(frozen=True)
class LocalizationCase:
    """One question. `tubelet` (T, S, S, 3) uint8 and `segments` (K, L, 128) raw log-mel are the model's inputs, `shown`
    (TARGET_SIZE, TARGET_SIZE, 3) uint8 the picture for people. `target` (TARGET_SIZE, TARGET_SIZE) in 0..1: how far it
    is agreed that the pixel shows what sounds."""

    name: str
    category: str
    tubelet: NDArray[np.uint8]
    segments: NDArray[np.float32]
    shown: NDArray[np.uint8]
    target: NDArray[np.float64]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Pixels of the object: those that anyone has marked."""
        return self.target > 0


class LocalizationSet(Protocol):
    """A data set of such questions, read source by source (a clip, or a picture with a sound)."""

    @property
    def name(self) -> str:
        """What the set is called."""
        ...

    @property
    def protocol(self) -> dict[str, JsonValue]:
        """How picture, sound and target are made, by name."""
        ...

    @property
    def sources(self) -> Sequence[str]:
        """A name per source."""
        ...

    @property
    def root(self) -> Path:
        """Folder that the files lie in."""
        ...

    def files(self) -> list[Path]:
        """Every file that the questions are made of."""
        ...

    def load(self, index: int, encoder: Encoder) -> list[LocalizationCase]:
        """Questions of one source for an encoder's sizes; MediaError where it cannot be used."""
        ...


def still_tubelet(picture: NDArray[np.uint8], encoder: Encoder) -> NDArray[np.uint8]:
    """A still picture (S, S, 3) as the encoder's input (T, S, S, 3): the same frame T times."""
    return np.repeat(picture[None], encoder.num_frames, axis=0)


def centred_segment(audio: ClipAudio, centre_seconds: float, length: int) -> tuple[NDArray[np.float32], int]:
    """The segment (1, length, 128) around a moment, pushed inside the sound, zeros where the sound is shorter; and the
    log-mel frame at which it starts."""
    start = int(np.clip(segment_start_frame(centre_seconds, length), 0, max(0, len(audio) - length)))
    return audio.segments(np.array([start]), length), start


def covering_segments(audio: ClipAudio, length: int) -> NDArray[np.float32]:
    """Segments that cover a whole sound, each half over the one before, the last pushed inside: (K, length, 128)."""
    last = max(0, len(audio) - length)
    starts = [*range(0, last, max(1, length // 2)), last]
    return audio.segments(np.array(starts), length)
