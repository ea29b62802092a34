"""A sample's members, and the JSON among them that says when each frame is shown and what belongs to it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cavsync.errors import MediaError
from cavsync.records import problem

Seconds = Annotated[float, Field(allow_inf_nan=False)]

JSON_SUFFIX = "json"
FLAC_SUFFIX = "flac"
_FRAME_SUFFIX = re.compile(r"(?:frame-)?(\d{1,9})\.jpe?g", re.IGNORECASE)


def frame_suffix(number: int) -> str:
    """What follows the key in the name of frame `number`. Keys hold no dot: WebDataset cuts names at the first."""
    return f"frame-{number:04d}.jpg"


def frame_number(suffix: str) -> int | None:
    """The frame's number of a member's suffix, None where it is no frame."""
    match = _FRAME_SUFFIX.fullmatch(suffix)
    return int(match[1]) if match else None


class SampleRecord(BaseModel):
    """Content of `KEY.json`.

    Written by others, it needs `pts_seconds` and `audio_start_seconds`, and may have `labels`.
    """

    model_config = ConfigDict(frozen=True)

    id: str = ""
    file: str = ""
    """Name in the source, relative to it."""
    licence: str = ""
    labels: tuple[str, ...] = ()
    cut_seconds: tuple[Seconds, Seconds] | None = None
    """The part of the file that was cut out; the times below count from its start."""
    segment_rule: Literal["time", "index"] = "time"
    """What places a frame's segment of audio: its time, or CAV-MAE's rule by its number."""
    pts_seconds: tuple[Seconds, ...] = Field(min_length=1)
    audio_start_seconds: Seconds
    width: int | None = None
    height: int | None = None
    audio_samples: int | None = None
    crc32: tuple[int, ...] | None = None
    """Of the FLAC and of each frame, in this order: damage that decoders do not notice."""

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if any(later <= earlier for earlier, later in pairwise(self.pts_seconds)):
            raise ValueError("pts_seconds do not ascend")
        if self.crc32 is not None and len(self.crc32) != len(self.pts_seconds) + 1:
            raise ValueError("crc32 has another number of entries than there are members")
        return self


def parse_record(data: bytes, where: str) -> SampleRecord:
    """The record of a sample. Raises MediaError: reason `label` for labels that are no strings, else `incomplete`."""
    try:
        return SampleRecord.model_validate_json(data)
    except ValidationError as error:
        is_label = any(found["loc"][:1] == ("labels",) for found in error.errors())
        expected = "a list of label names" if is_label else "a record with pts_seconds and audio_start_seconds"
        raise MediaError(
            f"{where} has no usable description, it {problem(error)}, expected {expected}: write the sample again",
            reason="label" if is_label else "incomplete",
        ) from None
