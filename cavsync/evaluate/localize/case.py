"""A case of localisation: an image, audio, and where in the image the sounding object is."""

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
from cavsync.media.resample import ChannelRule

SEGMENTS_BY_TIME = "by time: centred on the frame, moved inside the audio, zero-padded if it is shorter"
TARGET_SIZE = 224
"""Side of the square on which heat maps and targets are compared, as in the published protocols."""


@dataclass(frozen=True)
class LocalizationCase:
    """One case. `tubelet` (T, S, S, 3) uint8 and `segments` (K, L, 128) raw log-mel are the model's inputs, `shown`
    (TARGET_SIZE, TARGET_SIZE, 3) uint8 is the image for display. `target` (TARGET_SIZE, TARGET_SIZE) in 0..1 is the
    annotators' agreement that a pixel shows the sounding object."""

    name: str
    category: str
    tubelet: NDArray[np.uint8]
    segments: NDArray[np.float32]
    shown: NDArray[np.uint8]
    target: NDArray[np.float64]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Pixels of the object: those that any annotator marked."""
        return self.target > 0


class LocalizationSet(Protocol):
    """A data set of cases, loaded source by source; a source is a clip, or an image with audio."""

    @property
    def name(self) -> str:
        """Name of the data set."""
        ...

    @property
    def protocol(self) -> dict[str, JsonValue]:
        """How `picture`, `sound`, its `segments` and `target` of a case are made."""
        ...

    @property
    def channels(self) -> ChannelRule:
        """How several channels of audio become one."""
        ...

    @property
    def sources(self) -> Sequence[str]:
        """Name of each source."""
        ...

    @property
    def root(self) -> Path:
        """Folder of the files."""
        ...

    def files(self) -> list[Path]:
        """Return every file that the cases are made of."""
        ...

    def load(self, index: int, encoder: Encoder) -> list[LocalizationCase]:
        """Load the cases of one source in an encoder's sizes. Raises MediaError for a source that cannot be used."""
        ...


def still_tubelet(image: NDArray[np.uint8], encoder: Encoder) -> NDArray[np.uint8]:
    """Repeat an image (S, S, 3) as the frames of an encoder's input (T, S, S, 3)."""
    return np.repeat(image[None], encoder.num_frames, axis=0)


def centred_segment(audio: ClipAudio, centre_seconds: float, length: int) -> tuple[NDArray[np.float32], int]:
    """Return the segment (1, length, 128) around a time, moved inside the audio and zero-padded if that is too short,
    and the log-mel frame at which it starts."""
    start = int(np.clip(segment_start_frame(centre_seconds, length), 0, max(0, len(audio) - length)))
    return audio.segments(np.array([start]), length), start


def covering_segments(audio: ClipAudio, length: int) -> NDArray[np.float32]:
    """Return half-overlapping segments (K, length, 128) that cover the whole audio, the last moved inside it."""
    last = max(0, len(audio) - length)
    starts = [*range(0, last, max(1, length // 2)), last]
    return audio.segments(np.array(starts), length)
