"""Read members of many tars from any process, with at most MAX_OPEN files and indexes open at a time."""

from __future__ import annotations

import os
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from cavsync.data.shards.index import ShardIndex, read_report
from cavsync.data.shards.scan_tar import scan_tar
from cavsync.errors import MediaError

MAX_OPEN = 16
_NAME_BYTES = 100
_HEADER_BYTES = 512


class _OpenTar:
    """A tar and its samples, from its .idx file, or, if that is missing or does not fit the tar's size, from the tar's
    headers. Raises OSError for an unreadable tar."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        report = read_report(path)
        if report is not None and report.bytes == path.stat().st_size:
            self.index = report.index
        else:
            self.index = scan_tar(path).index

    def read(self, offset: int, size: int) -> bytes:
        # Forked processes share descriptors and their positions; pread does not use the position.
        return os.pread(self._descriptor, size, offset)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


class TarFiles:
    """The tars of a data set by number. Pickled, it is a list of paths; each process opens the files that it reads."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = list(paths)
        self._open: OrderedDict[int, _OpenTar] = OrderedDict()

    def __getstate__(self) -> list[str]:
        return self.paths

    def __setstate__(self, paths: list[str]) -> None:
        self.paths, self._open = paths, OrderedDict()

    def index(self, shard: int) -> ShardIndex:
        """Return the samples of a tar. Raises MediaError for an unreadable tar."""
        return self._tar(shard).index

    def read(self, shard: int, place: tuple[int, int], crc32: int | None = None) -> bytes:
        """Read the bytes at (offset, size). Raises MediaError for an unreadable tar, one that ends before them, or
        bytes whose checksum is not `crc32` (None: unknown)."""
        offset, size = place
        try:
            data = self._tar(shard).read(offset, size)
        except OSError as error:
            raise self._unreadable(shard, error) from None
        if len(data) < size:
            raise MediaError(f"{self.paths[shard]} ends before byte {offset + size}: copy it again", reason="truncated")
        if crc32 is not None and zlib.crc32(data) != crc32:
            raise MediaError(
                f"{self.member_name(shard, place)} was changed since it was written: copy or pack the shard again",
                reason="corrupt",
            )
        return data

    def member_name(self, shard: int, place: tuple[int, int]) -> str:
        """Return `shard: member` of the member whose data is at `place`, for messages."""
        header = self._tar(shard).read(place[0] - _HEADER_BYTES, _NAME_BYTES)
        return f"{self.paths[shard]}: {header.split(bytes(1))[0].decode(errors='replace')}"

    def _tar(self, shard: int) -> _OpenTar:
        if shard not in self._open:
            try:
                self._open[shard] = _OpenTar(Path(self.paths[shard]))
            except OSError as error:
                raise self._unreadable(shard, error) from None
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(shard)
        return self._open[shard]

    def _unreadable(self, shard: int, error: OSError) -> MediaError:
        reason = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        return MediaError(f"{self.paths[shard]} cannot be read ({error.strerror}): restore it", reason=reason)
