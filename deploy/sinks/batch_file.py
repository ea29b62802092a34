"""The file in which a batch keeps what it has scored until its outputs are written.

One line of JSON describes the batch, and one more each file that was scored or failed. A line reaches the disk before
the next file begins; a line without an end is what a killed process or a power failure leaves, and is ignored. While a
file is scored, the last line names it. Where such a line is left, the process was killed, or crashed, at that file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from cavsync.deploy.files.row import FAILED, FileRow
from cavsync.errors import ConfigError, DataError
from cavsync.file_names import is_address

FORMAT = 1
ENDING = ".partial"
MAX_NAME_BYTES = 255
BEGUN = b'{"begun":'
"""How the line of a file that is being scored starts."""
# A link that somebody else put at this name is not written through.
OPEN_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class BatchEntry:
    """One file's part of the outputs: its row, its JSON objects, and its section of the report, if one is wanted."""

    row: FileRow
    objects: list[dict[str, Any]]
    section: str | None = None


@dataclass(frozen=True)
class _Kept:
    """A line of the file: its number, where it starts, the size and time of the scored file, and the entry's row."""

    place: int
    offset: int
    identity: list[int]
    row: FileRow


def batch_path(output: Path) -> Path:
    """Return the path of the batch file that belongs to an output: its name with `.partial`, or a shorter one."""
    name = output.name + ENDING
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        name = hashlib.sha256(os.fsencode(output.name)).hexdigest()[:16] + ENDING
    return output.with_name(name)


def identity_of(source: str) -> list[int]:
    """Return the size in bytes and the time of change in ns of a file; empty for an address or a missing file."""
    if is_address(source):
        return []
    try:
        found = Path(source).stat()
    except (OSError, ValueError):
        return []
    return [found.st_size, found.st_mtime_ns]


class BatchFile:
    """The entries of a batch: appended one by one, and read again one by one. Memory: a row per file.

    Args:
        path: the batch file; see `batch_path`.
        settings: everything by which scores may differ, as JSON values by name.
        resume: continue the batch that the file holds, if there is one.

    Raises:
        ConfigError: the file cannot be written, is in use, holds the scores of another batch, or, without `resume`, of
            any.
        DataError: the file is damaged.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        self.path = path
        self._kept: dict[str, _Kept] = {}
        self._num_entries = 0
        self._interrupted: dict[str, list[int]] = {}
        header = {"batch": FORMAT, "settings": settings}
        try:
            self._stream: IO[bytes] = os.fdopen(os.open(path, OPEN_FLAGS, 0o666), "r+b", buffering=0)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written ({error.strerror}): give outputs in another folder") from None
        try:
            self._lock()
            if not self._read(json.loads(json.dumps(header)), resume=resume):
                self._append(header)
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> BatchFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._kept:
            self.remove()
        self._stream.close()

    @property
    def rows(self) -> dict[int, FileRow]:
        """The rows of all entries by their place, in the order in which they were added."""
        return {kept.place: kept.row for kept in self._kept.values()}

    @property
    def next_place(self) -> int:
        """The place of the next entry, counted from 1. It stays the same when the batch is resumed."""
        return self._num_entries + 1

    def has(self, source: str) -> bool:
        """Whether the source was scored and has not changed since; a failed one counts as not scored.

        The score of a file that is gone remains.
        """
        kept = self._kept.get(source)
        return kept is not None and kept.row.state != FAILED and identity_of(source) in ([], kept.identity)

    def ended_process(self, source: str) -> bool:
        """Whether an earlier process was killed, or crashed, while it scored this source as it is now."""
        return source in self._interrupted and identity_of(source) == self._interrupted[source]

    @contextmanager
    def begun(self, source: str, identity: list[int]) -> Iterator[None]:
        """Note that a source is scored in this block.

        Raises:
            DataError: the note cannot be written, for example because the disk is full.
        """
        # What a crash of this process leaves need not reach the disk.
        offset = self._append({"begun": source, "identity": identity}, is_synced=False)
        try:
            yield
        finally:
            self._stream.truncate(offset)

    def add(self, source: str, identity: list[int], entry: BatchEntry) -> None:
        """Append the entry of `source`, in place of an earlier one; `identity` is that from before it was scored.

        Raises:
            DataError: the entry cannot be written, for example because the disk is full.
        """
        offset = self._append({"source": source, "identity": identity, **asdict(entry)})
        self._keep(source, offset, identity, entry.row)

    def __iter__(self) -> Iterator[BatchEntry]:
        """Read the entries in the order of `rows`."""
        with self.path.open("rb") as stream:
            for kept in self._kept.values():
                stream.seek(kept.offset)
                content = json.loads(stream.readline())
                yield BatchEntry(kept.row, content["objects"], content["section"])

    def remove(self) -> None:
        """Delete the file, once all outputs are written."""
        self.path.unlink(missing_ok=True)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{self.path} is in use by another batch: wait for it, or give other outputs") from None

    def _keep(self, source: str, offset: int, identity: list[int], row: FileRow) -> None:
        self._num_entries += 1
        # An earlier entry is left out: rows are in the order of the lines.
        self._kept.pop(source, None)
        self._kept[source] = _Kept(self._num_entries, offset, identity, row)

    def _append(self, content: Mapping[str, Any], *, is_synced: bool = True) -> int:
        """Write one line and wait until it is on the disk; return where it starts."""
        # ASCII: JSON's escapes keep even names that are not UTF-8.
        line = memoryview(json.dumps(content, allow_nan=False).encode("ascii") + b"\n")
        offset = self._stream.seek(0, os.SEEK_END)
        try:
            while line:
                line = line[self._stream.write(line) :]
            if is_synced:
                os.fsync(self._stream.fileno())
        except OSError as error:
            self._stream.truncate(offset)
            raise DataError(
                f"{self.path} cannot be written ({error.strerror}): free some space and continue with --resume"
            ) from None
        return offset

    def _read(self, header: dict[str, Any], *, resume: bool) -> bool:
        """Read the entries of an interrupted batch, and cut off what is no whole line; False where there are none."""
        num_lines = num_entries = -1
        with self.path.open("rb") as stream:
            for line in stream:
                num_lines += line.endswith(b"\n")
                num_entries += line.endswith(b"\n") and not line.startswith(BEGUN)
        if num_entries < 1 and not (resume and num_lines > 0):
            self._stream.truncate(0)
            return False
        if not resume:
            raise ConfigError(
                f"{self.path} holds the scores of a batch that was interrupted after {num_entries} files: "
                "continue with --resume, or delete it to begin again"
            )
        with self.path.open("rb") as stream:
            self._require_same(self._parsed(stream.readline(), {"batch", "settings"}), header)
            for _ in range(num_lines):
                offset, line = stream.tell(), stream.readline()
                if line.startswith(BEGUN):
                    content = self._parsed(line, {"begun", "identity"})
                    self._interrupted[content["begun"]] = content["identity"]
                    continue
                content = self._parsed(line, {"source", "identity", "row"})
                self._keep(content["source"], offset, content["identity"], FileRow(**content["row"]))
            self._stream.truncate(stream.tell())
        return True

    def _parsed(self, line: bytes, names: set[str]) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(line)
            if content.keys() >= names:
                return content
        except (ValueError, AttributeError):
            pass
        raise DataError(f"{self.path} is damaged, or not the file of an interrupted batch: delete it to begin again")

    def _require_same(self, found: dict[str, Any], header: dict[str, Any]) -> None:
        """Raise ConfigError where the batch was begun with other settings, so that no result mixes two kinds."""
        before, now = found["settings"], header["settings"]
        names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        if found["batch"] != FORMAT or names:
            raise ConfigError(
                f"{self.path} holds a batch that was begun with another {' and '.join(names) or 'version'}: repeat its "
                "options to continue it, or delete it to begin again"
            )
