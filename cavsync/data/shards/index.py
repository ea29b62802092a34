"""The index of a tar: the byte ranges of its samples' members, stored in an .idx file next to the tar."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from cavsync.atomic import atomic_file

log = logging.getLogger(__name__)

IDX_ENDING = ".idx"


@dataclass(frozen=True)
class SampleMembers:
    """Byte ranges (offset, size) of one sample's members in its tar; `key` is the common part of their names."""

    key: str
    description: tuple[int, int]
    audio: tuple[int, int]
    frames: list[tuple[int, int]]


@dataclass(frozen=True)
class ShardIndex:
    """The n samples of one tar. The members of sample i (description, audio, then frames) are rows first[i] to
    first[i + 1] of `ranges` (m, 2), which hold offset and size."""

    keys: list[str]
    first: NDArray[np.int64]
    ranges: NDArray[np.int64]

    @classmethod
    def of(cls, samples: list[SampleMembers]) -> ShardIndex:
        """Build the index of a list of samples."""
        rows = [(sample.description, sample.audio, *sample.frames) for sample in samples]
        flat = [entry for row in rows for entry in row]
        first = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
        return cls([sample.key for sample in samples], first, np.asarray(flat, dtype=np.int64).reshape(-1, 2))

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, position: int) -> SampleMembers:
        rows = self.ranges[self.first[position] : self.first[position + 1]].tolist()
        description, audio, *frames = [(offset, size) for offset, size in rows]
        return SampleMembers(self.keys[position], description, audio, frames)


class PackReject(BaseModel):
    """A clip that could not be packed: a line of rejects.jsonl."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    reason: str
    error: str


class ShardReport(BaseModel):
    """A finished shard: size and hash of its tar (0 and "" without a usable clip, which leaves no tar), its index and
    its rejects. `seconds` is the duration of its audio."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["cavsync-shard-index-1"] = "cavsync-shard-index-1"
    bytes: int
    sha256: str
    seconds: float
    rejects: list[PackReject]
    keys: list[str]
    members: list[int]
    offsets: list[int]
    sizes: list[int]

    @property
    def index(self) -> ShardIndex:
        """The index of the tar's samples, as arrays."""
        first = np.cumsum([0, *self.members], dtype=np.int64)
        return ShardIndex(self.keys, first, np.column_stack([self.offsets, self.sizes]).astype(np.int64).reshape(-1, 2))

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
    if len(report.keys) != len(report.members) or members != len(report.offsets) or members != len(report.sizes):
        log.warning("%s contradicts itself and is ignored", path)
        return None
    return report
