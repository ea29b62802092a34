"""A sample: its contents before they are written, the names of its members, and its JSON member with the times of its
frames, its labels and its checksums."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cavsync.errors import MediaError
from cavsync.records import problem

Seconds = Annotated[float, Field(allow_inf_nan=False)]

JSON_SUFFIX = "json"
FLAC_SUFFIX = "flac"
FACES_SUFFIX = "faces.npz"
_FRAME_SUFFIX = re.compile(r"(?:frame-)?(\d{1,9})\.jpe?g", re.IGNORECASE)


def frame_suffix(number: int) -> str:
    """Return what follows the key in the name of frame `number`.

    Keys contain no dot, because WebDataset splits names at the first one.
    """
    return f"frame-{number:04d}.jpg"


def frame_number(suffix: str) -> int | None:
    """Return the number of the frame with this member suffix; None if it is not a frame's."""
    match = _FRAME_SUFFIX.fullmatch(suffix)
    return int(match[1]) if match else None


@dataclass(frozen=True)
class SampleContents:
    """n frames as JPEG, shown at `pts_seconds` (n,), and mono 16 kHz `samples` that start at `audio_start_seconds`.

    cut_seconds: the part of the file that they come from, None for all of it. by_index: whether frames get their
    segments by CAV-MAE's index rule. faces: the track of the main face, as `FaceTrack.to_bytes` gives it; None where it
    was not asked for.
    """

    frames: list[bytes]
    pts_seconds: NDArray[np.float64]
    samples: NDArray[np.float32]
    audio_start_seconds: float = 0.0
    cut_seconds: tuple[float, float] | None = None
    by_index: bool = False
    faces: bytes | None = None


class SampleRecord(BaseModel):
    """Content of `KEY.json`.

    Records of other tools need `pts_seconds` and `audio_start_seconds`, and may have `labels`.
    """

    model_config = ConfigDict(frozen=True)

    id: str = ""
    file: str = ""
    """File name relative to the source."""
    licence: str = ""
    labels: tuple[str, ...] = ()
    cut_seconds: tuple[Seconds, Seconds] | None = None
    """The part of the file that the sample covers; the times below count from its start."""
    segment_rule: Literal["time", "index"] = "time"
    """How a frame gets its segment of audio: by its time, or by CAV-MAE's index rule."""
    pts_seconds: tuple[Seconds, ...] = Field(min_length=1)
    audio_start_seconds: Seconds
    width: int | None = None
    height: int | None = None
    audio_samples: int | None = None
    crc32: tuple[int, ...] | None = None
    """Checksums of the FLAC and of each frame, in this order; decoders do not notice all damage."""

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if any(later <= earlier for earlier, later in pairwise(self.pts_seconds)):
            raise ValueError("pts_seconds do not ascend")
        if self.crc32 is not None and len(self.crc32) != len(self.pts_seconds) + 1:
            raise ValueError("crc32 must have one entry for the audio and one per frame")
        return self


def parse_record(data: bytes, where: str) -> SampleRecord:
    """Parse the record of a sample. Raises MediaError with reason `label` for labels that are not strings, else with
    reason `incomplete`."""
    try:
        return SampleRecord.model_validate_json(data)
    except ValidationError as error:
        is_label = any(found["loc"][:1] == ("labels",) for found in error.errors())
        expected = "a list of label names" if is_label else "a record with pts_seconds and audio_start_seconds"
        raise MediaError(
            f"{where} has no usable description, it {problem(error)}, expected {expected}: write the sample again",
            reason="label" if is_label else "incomplete",
        ) from None
