"""The data set of an archive on disk: parts of three Parquet tables, with every file once.

A part is a file of the same name in `verdicts`, `windows` and `events`. The verdicts are written last, and the part
counts only with them: what a killed process leaves without is deleted when the data set is opened again. Rows of files
that are to be scored again are taken out under a note that survives the process, too.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Self

from cavsync.atomic import atomic_file, atomic_path, only_writer, remove_leftovers
from cavsync.deploy.archive.addresses import identity
from cavsync.deploy.archive.rows import FileRows
from cavsync.deploy.archive.sources import Source
from cavsync.deploy.archive.storage import Version
from cavsync.deploy.archive.tables import EVENTS, TABLES, VERDICTS, WINDOWS, schema
from cavsync.deploy.files.row import FAILED
from cavsync.errors import ConfigError, DataError
from cavsync.file_names import legible, unescaped

FORMAT = 1
_PART = re.compile(r"part-\d{6,}\.parquet")
ARCHIVE, NOTE = "archive.json", "taken-out.json"
PART_SECONDS, PART_FILES, PART_WINDOWS = 60.0, 4096, 200_000
"""A part is written after so long, or with so many files or windows: a killed process loses no more than that."""


@dataclass(frozen=True)
class _Kept:
    """The part that has the rows of a file, the version that was scored, and whether that failed."""

    part: str
    version: Version
    has_failed: bool

    def is_of(self, source: Source) -> bool:
        return not self.has_failed and not source.version.differs(self.version)


class DataSet:
    """The parts of an archive; open it with `data_set`. `num_files` files have rows in it."""

    def __init__(self, folder: Path, provenance: dict[str, Any]) -> None:
        self.folder, self.provenance = folder, provenance
        self._pq: Any = importlib.import_module("pyarrow.parquet")
        self._pa: Any = importlib.import_module("pyarrow")
        self._buffer: list[FileRows] = []
        self._num_windows = 0
        self._begun_seconds = monotonic()
        for table in TABLES:
            with room_in(folder):
                (folder / table).mkdir(exist_ok=True)
            remove_leftovers(folder / table)
        self._remove_incomplete()
        self._require_columns()
        self._finish_taking_out()
        self._next_part = 1 + max((int(path.stem.split("-")[1]) for path in self._parts(VERDICTS)), default=0)
        self.num_files = sum(self._parquet(path).metadata.num_rows for path in self._parts(VERDICTS))

    def wanted(self, sources: Sequence[Source]) -> list[Source]:
        """Return the sources to score: those that are new, have changed or failed; old rows of these are taken out.

        A file that has rows under another of its names keeps them. Failed rows of what is no longer among the sources
        are taken out, too; other rows of such files stay.
        """
        kept: dict[str, _Kept] = {}
        names_of_file: dict[str, list[str]] = {}
        for path in self._parts(VERDICTS):
            for row in self._read(path, ["source", "size_bytes", "etag", "state"]).to_pylist():
                version = Version(row["size_bytes"], row["etag"])
                kept[row["source"]] = _Kept(path.name, version, row["state"] == FAILED)
                names_of_file.setdefault(identity(unescaped(row["source"])), []).append(row["source"])
        wanted: list[Source] = []
        old: set[str] = set()
        for source in sources:
            # Its own name first: a link may have taken the place of a file that has rows, too.
            names = sorted(names_of_file.pop(identity(source.name), []), key=lambda name: name != source.row_name)
            current = [name for name in names if kept[name].is_of(source)][:1]
            if not current:
                wanted.append(source)
            old.update(name for name in names if name not in current)
        old.update(name for names in names_of_file.values() for name in names if kept[name].has_failed)
        self._take_out({name: kept[name].part for name in sorted(old)})
        self.num_files -= len(old)
        return wanted

    def add(self, rows: FileRows) -> None:
        """Take the rows of a file. DataError as `flush`."""
        if not self._buffer:
            self._begun_seconds = monotonic()
        self._buffer.append(rows)
        self.num_files += 1
        self._num_windows += len(rows.windows)
        if len(self._buffer) >= PART_FILES or self._num_windows >= PART_WINDOWS:
            self.flush()

    def flush_if_due(self) -> None:
        """Write what has waited for `PART_SECONDS`. DataError as `flush`."""
        if self._buffer and monotonic() - self._begun_seconds >= PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write a part of what was added. DataError as `room_in`."""
        if not self._buffer:
            return
        files = sorted(self._buffer, key=lambda rows: rows.source)
        own = {"bundle_sha256": self.provenance["settings"]["bundle"]["sha256"]}
        own["cavsync_version"] = self.provenance["settings"]["version of cavsync"]
        rows = {
            WINDOWS: [row for one in files for row in one.windows],
            EVENTS: [row for one in files for row in one.events],
            VERDICTS: [{**one.verdict, **own} for one in files],
        }
        for table, content in rows.items():
            self._write(
                table, f"part-{self._next_part:06d}.parquet", self._pa.Table.from_pylist(content, schema(table))
            )
        # In this order: whatever interrupts it, no rows get into two parts.
        self._buffer.clear()
        self._num_windows = 0
        self._next_part += 1

    def verdicts(self, columns: list[str]) -> Iterator[dict[str, Any]]:
        """Yield some columns of the verdicts, part by part."""
        for path in self._parts(VERDICTS):
            yield from self._read(path, columns).to_pylist()

    def _parts(self, table: str) -> list[Path]:
        return _parts(self.folder / table)

    def _read(self, path: Path, columns: list[str] | None = None) -> Any:
        file = self._parquet(path)
        try:
            return file.read(columns)
        except (self._pa.ArrowException, OSError, EOFError):
            raise self._damage(path) from None

    def _parquet(self, path: Path) -> Any:
        try:
            # As a data set, it would also have columns from names of folders such as `a=b`.
            return self._pq.ParquetFile(path)
        except (self._pa.ArrowException, OSError, EOFError):
            raise self._damage(path) from None

    def _damage(self, path: Path) -> DataError:
        own = self.folder / VERDICTS / path.name
        return DataError(f"{path} is damaged: delete {own}, and --resume scores the files of this part again")

    def _require_columns(self) -> None:
        """Refuse parts with other columns than are written now."""
        for table in TABLES:
            wanted = schema(table)
            for path in self._parts(table):
                if not self._parquet(path).schema_arrow.equals(wanted, check_metadata=False):
                    raise DataError(f"{path} has other columns than this version writes: give another OUT")

    def _write(self, table: str, name: str, content: Any) -> None:
        described = content.replace_schema_metadata({"cavsync": json.dumps(self.provenance)})
        with room_in(self.folder / table), atomic_path(self.folder / table / name) as temporary:
            self._pq.write_table(described, temporary, compression="zstd")

    def _remove_incomplete(self) -> None:
        """Delete the parts that are not in all tables; the verdicts last, because a part counts with them."""
        found = [{path.name for path in self._parts(table)} for table in TABLES]
        complete = set.intersection(*found)
        for table in (WINDOWS, EVENTS, VERDICTS):
            for path in self._parts(table):
                if path.name not in complete:
                    path.unlink()

    def _take_out(self, old: dict[str, str]) -> None:
        """Delete the rows of files, whose parts are given by name."""
        if old:
            with room_in(self.folder), atomic_file(self.folder / NOTE) as stream:
                stream.write(json.dumps(old).encode("ascii"))
            self._finish_taking_out()

    def _finish_taking_out(self) -> None:
        note = self.folder / NOTE
        if not note.exists():
            return
        try:
            old: dict[str, str] = json.loads(note.read_bytes())
        except ValueError:
            raise DataError(f"{note} is damaged: give another OUT") from None
        compute = importlib.import_module("pyarrow.compute")
        gone = self._pa.array(list(old), self._pa.string())
        for name in sorted(set(old.values())):
            for table in TABLES:
                path = self.folder / table / name
                if not path.exists():
                    # It was incomplete, or deleted because it was damaged.
                    continue
                content = self._read(path)
                is_gone = compute.is_in(content.column("source"), value_set=gone)
                self._write(table, name, content.filter(compute.invert(is_gone)))
        note.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Write what was added, whatever ended the block."""
        self.flush()


@contextmanager
def room_in(folder: Path) -> Iterator[None]:
    """Turn a full disk, or another error of writing to `folder`, into a DataError that says how to continue."""
    try:
        yield
    except OSError as error:
        # pyarrow has the system's words at the end of its own.
        reason = (error.strerror or str(error)).rpartition("] ")[2]
        raise DataError(f"{folder} cannot be written ({reason}): free some space and continue with --resume") from None


def _parts(table: Path) -> list[Path]:
    return sorted(path for path in table.glob("part-*.parquet") if _PART.fullmatch(path.name))


@contextmanager
def data_set(folder: Path, source: str, settings: dict[str, Any], *, resume: bool) -> Iterator[DataSet]:
    """Open or begin the data set of an archive; what is added is written when the block ends.

    Args:
        folder: OUT.
        source: SRC, as a name that is the same from every working folder.
        settings: everything by which rows may differ, as JSON values.
        resume: continue the data set that `folder` holds, if there is one.

    Raises:
        ConfigError: the folder holds something else, an archive of other settings, or, without `resume`, any.
        DataError: another process writes there, or the data set is damaged or cannot be written.
    """
    provenance = json.loads(json.dumps({"archive": FORMAT, "source": legible(source), "settings": settings}))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror}): give a folder that may be written") from None
    with only_writer(folder):
        _begin(folder, provenance, resume=resume)
        with DataSet(folder, provenance) as data:
            yield data


def _begin(folder: Path, provenance: dict[str, Any], *, resume: bool) -> None:
    """Check what the folder holds, or write what it will hold."""
    remove_leftovers(folder)
    path = folder / ARCHIVE
    if not path.exists() or not _parts(folder / VERDICTS):
        if not path.exists() and any(folder.iterdir()):
            raise ConfigError(f"{folder} holds other files: give an empty or new folder for the archive")
        with room_in(folder), atomic_file(path) as stream:
            stream.write(json.dumps(provenance, indent=1).encode("ascii"))
        return
    if not resume:
        raise ConfigError(f"{folder} holds an archive already: continue with --resume, or give another folder")
    try:
        found = json.loads(path.read_bytes())
        before = {**found["settings"], "SRC": found["source"], "format": found["archive"]}
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path} is damaged, or not the file of an archive: give another folder") from None
    now = {**provenance["settings"], "SRC": provenance["source"], "format": provenance["archive"]}
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if names:
        raise ConfigError(
            f"{folder} holds an archive with another {' and '.join(names)}: repeat its options to continue it, or "
            "give another folder"
        )
