"""Write an uncompressed tar (POSIX ustar) whose bytes depend only on its members."""

from __future__ import annotations

import hashlib
from tarfile import BLOCKSIZE, USTAR_FORMAT, TarInfo
from typing import BinaryIO


class TarWriter:
    """Append members to `stream`; `num_bytes` and `sha256` are of everything written so far."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.num_bytes = 0

    def add(self, name: str, data: bytes) -> int:
        """Write one member with time, owner and group zero; return the offset of its data."""
        info = TarInfo(name)
        info.size, info.mode = len(data), 0o644
        self._write(info.tobuf(USTAR_FORMAT))
        offset = self.num_bytes
        self._write(data)
        self._write(bytes(-len(data) % BLOCKSIZE))
        return offset

    def close(self) -> None:
        """Write the end-of-archive marker."""
        self._write(bytes(2 * BLOCKSIZE))

    @property
    def sha256(self) -> str:
        """Hexadecimal hash of everything written so far."""
        return self._digest.hexdigest()

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self._digest.update(data)
        self.num_bytes += len(data)
