"""The index of a tar: the byte ranges of its samples' members, stored in an .idx file next to the tar."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cavsync.atomic import atomic_file

log = logging.getLogger(__name__)

IDX_ENDING = ".idx"
MIN_MEMBERS = 3
"""Of a sample: its description, its audio and a frame."""
MAX_BYTES = 1 << 50
Place = Annotated[int, Field(ge=0, le=MAX_BYTES)]


@dataclass(frozen=True)
class SampleMembers:
    """Byte ranges (offset, size) of one sample's members in its tar; `key` is the common part of their names.

    `faces` is None where the sample has no face track.
    """

    key: str
    description: tuple[int, int]
    audio: tuple[int, int]
    frames: list[tuple[int, int]]
    faces: tuple[int, int] | None = None


@dataclass(frozen=True)
class ShardIndex:
    """The n samples of one tar. The members of sample i (description, audio, then frames) are rows first[i] to
    first[i + 1] of `ranges` (m, 2), which hold offset and size. `faces` (n, 2) are those of the face tracks, size 0 for
    none, or (0, 2) where no sample has one."""

    keys: list[str]
    first: NDArray[np.int64]
    ranges: NDArray[np.int64]
    faces: NDArray[np.int64]

    @classmethod
    def of(cls, samples: list[SampleMembers]) -> ShardIndex:
        """Build the index of a list of samples."""
        rows = [(sample.description, sample.audio, *sample.frames) for sample in samples]
        flat = [entry for row in rows for entry in row]
        first = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
        faces = [sample.faces or (0, 0) for sample in samples] if any(sample.faces for sample in samples) else []
        ranges, face_ranges = (np.asarray(entries, dtype=np.int64).reshape(-1, 2) for entries in (flat, faces))
        return cls([sample.key for sample in samples], first, ranges, face_ranges)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, position: int) -> SampleMembers:
        rows = self.ranges[self.first[position] : self.first[position + 1]].tolist()
        description, audio, *frames = [(offset, size) for offset, size in rows]
        offset, size = self.faces[position].tolist() if len(self.faces) else (0, 0)
        return SampleMembers(self.keys[position], description, audio, frames, (offset, size) if size else None)


class PackReject(BaseModel):
    """A clip that could not be packed: a line of rejects.jsonl."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    reason: str
    error: str


def _is_empty(values: list[int]) -> bool:
    """Shards without faces are described as they were before there were any."""
    return not values


class ShardReport(BaseModel):
    """A finished shard: size and hash of its tar (0 and "" without a usable clip, which leaves no tar), its index and
    its rejects. `seconds` is the duration of its audio."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["cavsync-shard-index-1"] = "cavsync-shard-index-1"
    bytes: Place
    sha256: str
    seconds: float
    rejects: list[PackReject]
    keys: list[str]
    members: list[Annotated[int, Field(ge=MIN_MEMBERS, le=MAX_BYTES)]]
    offsets: list[Place]
    sizes: list[Place]
    face_offsets: list[Place] = Field(default_factory=list, exclude_if=_is_empty)
    face_sizes: list[Place] = Field(default_factory=list, exclude_if=_is_empty)

    @property
    def index(self) -> ShardIndex:
        """The index of the tar's samples, as arrays."""
        first = np.cumsum([0, *self.members], dtype=np.int64)
        ranges, faces = (
            np.asarray([offsets, sizes], dtype=np.int64).T
            for offsets, sizes in ((self.offsets, self.sizes), (self.face_offsets, self.face_sizes))
        )
        return ShardIndex(self.keys, first, ranges, faces)

    def write(self, tar_path: Path) -> None:
        """Write the report next to the tar, which then counts as finished."""
        with atomic_file(tar_path.with_suffix(IDX_ENDING)) as stream:
            stream.write(self.model_dump_json().encode())


def read_report(tar_path: Path) -> ShardReport | None:
    """Read the report next to a tar; None if there is none or it is damaged."""
    path = tar_path.with_suffix(IDX_ENDING)
    try:
        report = ShardReport.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("%s is not an index (%s) and is ignored", path, error)
        return None
    members = sum(report.members)
    counts = (len(report.members), len(report.face_offsets) or len(report.keys))
    if (
        any(count != len(report.keys) for count in counts)
        or not members == len(report.offsets) == len(report.sizes)
        or len(report.face_offsets) != len(report.face_sizes)
        or any(offset + size > report.bytes for offset, size in _places(report))
        # The header of a member comes before its data; a sample without a face has no place for one.
        or any(offset < BLOCKSIZE for offset in report.offsets)
        or any(size and offset < BLOCKSIZE for offset, size in zip(report.face_offsets, report.face_sizes, strict=True))
    ):
        log.warning("%s contradicts itself and is ignored", path)
        return None
    return report


def _places(report: ShardReport) -> Iterator[tuple[int, int]]:
    """Iterate over the byte ranges of all members."""
    yield from zip(report.offsets, report.sizes, strict=True)
    yield from zip(report.face_offsets, report.face_sizes, strict=True)
