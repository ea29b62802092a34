"""Find the samples of a tar by its headers alone, for tars without an index and for damaged ones."""

from __future__ import annotations

import logging
import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from cavsync.data.shards.index import MAX_BYTES, SampleMembers, ShardIndex
from cavsync.data.shards.record import FACES_SUFFIX, FLAC_SUFFIX, JSON_SUFFIX, frame_number

log = logging.getLogger(__name__)

# After the end-of-archive marker, tools pad with zeros to a multiple of their record size.
LONGEST_PADDING_BYTES = 1 << 20
# A forged header may also declare a size that no memory holds, or refer to a further header again and again.
UNREADABLE = (tarfile.ReadError, RecursionError, MemoryError, OverflowError, ValueError)
# WebDataset's rule: the key ends at the first dot of the last part of the path.
_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")


@dataclass(frozen=True)
class TarScan:
    """The samples that were found in a tar.

    index: the complete samples. incomplete: sample key -> the members that it lacks. end: "" if the tar ends with the
    end-of-archive marker, `truncated` if it stops before one, `corrupt` if other bytes follow the last readable member.
    truncated_key: the sample that was cut off, "" for none.
    """

    index: ShardIndex
    incomplete: dict[str, str]
    end: str
    truncated_key: str


@dataclass
class _Members:
    """Byte ranges of one sample's members, collected in the order of the tar."""

    key: str = ""
    named: dict[str, tuple[int, int]] = field(default_factory=dict)
    frames: dict[int, tuple[int, int]] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)

    def add(self, suffix: str, place: tuple[int, int]) -> None:
        number = frame_number(suffix)
        if number is None:
            known = suffix in self.named
            self.named[suffix] = place
        else:
            known = number in self.frames
            self.frames[number] = place
        if known:
            self.repeated.append(suffix)

    @property
    def end_offset(self) -> int:
        """Byte offset at which the last member's data ends."""
        return max(offset + size for offset, size in (*self.named.values(), *self.frames.values()))

    @property
    def missing(self) -> str:
        """The members that this sample lacks, as words; "" if it is complete."""
        wanted = [suffix for suffix in (JSON_SUFFIX, FLAC_SUFFIX) if suffix not in self.named]
        if self.frames.keys() != set(range(len(self.frames))) or not self.frames:
            wanted.append("frames numbered from 0 on")
        return ", ".join([*wanted, *(f"a single {suffix}" for suffix in self.repeated)])

    def sample(self) -> SampleMembers:
        frames = [self.frames[number] for number in range(len(self.frames))]
        description, audio = self.named[JSON_SUFFIX], self.named[FLAC_SUFFIX]
        return SampleMembers(self.key, description, audio, frames, self.named.get(FACES_SUFFIX))


def scan_tar(path: Path) -> TarScan:
    """Read a tar's headers. The members of one sample must follow one another; members without a key are skipped.

    Raises OSError for a file that cannot be read.
    """
    groups, end = _groups(path)
    num_bytes = path.stat().st_size
    truncated_key = ""
    if end and groups and (groups[-1].missing or groups[-1].end_offset > num_bytes):
        truncated_key = groups.pop().key
    whole = [group.sample() for group in groups if not group.missing]
    incomplete = {group.key: group.missing for group in groups if group.missing}
    return TarScan(ShardIndex.of(whole), incomplete, end, truncated_key)


def _groups(path: Path) -> tuple[list[_Members], str]:
    """Return the members by sample, and the `end` of TarScan."""
    groups: list[_Members] = []
    with path.open("rb") as stream:
        try:
            tar = tarfile.open(fileobj=stream, mode="r:")  # noqa: SIM115 (it owns nothing but the stream)
        except UNREADABLE:
            return [], _end(stream, 0)
        try:
            for info in tar:
                if not 0 <= info.size <= MAX_BYTES:
                    # From a negative size, Python before 3.11.14 would go backwards, for ever.
                    return groups, "corrupt"
                match = _NAME.fullmatch(info.name) if info.isreg() else None
                if match is None:
                    continue
                if not groups or groups[-1].key != match[1]:
                    groups.append(_Members(match[1]))
                groups[-1].add(match[2].lower(), (info.offset_data, info.size))
        except UNREADABLE:
            log.debug("%s: no complete header at byte %d", path, tar.offset)
        return groups, _end(stream, tar.offset)


def _end(stream: BinaryIO, offset: int) -> str:
    """Return the `end` of TarScan from the bytes at `offset`, where no further header was found."""
    stream.seek(offset)
    rest = stream.read(LONGEST_PADDING_BYTES)
    if len(rest) < tarfile.BLOCKSIZE:
        return "truncated"
    return "corrupt" if any(rest) else ""
