"""The files of an archive: those of a folder, a list, a table or a prefix of an object store."""

from __future__ import annotations

import csv
import importlib
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cavsync.deploy.archive.storage import UNKNOWN, Version, file_system, local_version, readable, version_of
from cavsync.errors import ConfigError, DataError, MediaError
from cavsync.file_names import is_address, redact
from cavsync.media.files import MEDIA_ENDINGS, find_media

TABLES = (".txt", ".csv", ".parquet")


@dataclass(frozen=True)
class Source:
    """A file to score: an absolute path or an address, and its version as far as the listing tells."""

    name: str
    version: Version = UNKNOWN


def find_sources(src: str, column: str) -> list[Source]:
    """List the files of `src`, each once, sorted by name.

    Args:
        src: a media file, a folder, a list (`.txt`, one per line), a table (`.csv` with a header, `.parquet`), or the
            address of one of these or of a prefix of an object store.
        column: the column of a table that holds paths or addresses.

    Raises:
        ConfigError: `src` is nothing of that, a table has no such column, or a package for its addresses is missing.
        DataError: a list or table cannot be read.
        MediaError: nothing is there, or no media file.
    """
    ending = PurePosixPath(src).suffix.lower()
    require_no_password(src)
    if ending in TABLES and not Path(src).is_dir():
        found = [_listed(name, src) for name in _READERS[ending](src, column)]
    elif is_address(src):
        found = [Source(src)] if ending in MEDIA_ENDINGS else _below(src)
    elif Path(src).is_dir():
        found = [_local(path) for path in find_media(Path(src).absolute())]
    elif ending in MEDIA_ENDINGS:
        found = [_local(Path(src).absolute())]
    else:
        raise ConfigError(
            f"{src} is no folder, list or table: give a folder, a file that ends in {', '.join(TABLES)}, or an address"
        )
    if not found:
        raise MediaError(f"{src} holds no media file (looked for {' '.join(sorted(MEDIA_ENDINGS))})")
    return sorted({source.name: source for source in found}.values(), key=lambda source: source.name)


def require_no_password(address: str) -> None:
    """Raise ConfigError for an address with a password, which would stand in every table and report."""
    if redact(address) != address:
        raise ConfigError(
            f"{redact(address)} has a password or a key in it, which would stand in OUT: give the plain address, and "
            "the credentials in the environment"
        )


def _local(path: Path) -> Source:
    return Source(str(path), local_version(str(path)))


def _listed(name: str, src: str) -> Source:
    """An entry of a list; relative paths are meant from the folder of the list."""
    if is_address(name):
        require_no_password(name)
        return Source(name)
    if is_address(src):
        raise DataError(f"{src} lists the relative path {name}: a list on a server needs addresses or absolute paths")
    return _local(Path(os.path.abspath(Path(src).absolute().parent / name)))  # noqa: PTH100 - links are kept


def _below(address: str) -> list[Source]:
    """The media files below an address."""
    files, root = file_system(address)
    with readable(address):
        entries: dict[str, dict[str, Any]] = files.find(root, detail=True)
    names = {name: files.unstrip_protocol(name) for name in entries if not _is_hidden(name, root)}
    return [
        Source(address, version_of(entries[name]))
        for name, address in names.items()
        if PurePosixPath(name).suffix.lower() in MEDIA_ENDINGS
    ]


def _is_hidden(name: str, root: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name.removeprefix(root)).parts)


def _lines(src: str, column: str) -> Iterable[str]:
    del column
    lines = (line.strip() for line in _content(src).decode("utf-8-sig", "surrogateescape").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _csv(src: str, column: str) -> Iterable[str]:
    rows = csv.DictReader(io.StringIO(_content(src).decode("utf-8-sig", "surrogateescape"), newline=""))
    _require(src, column, rows.fieldnames or ())
    return [row[column] for row in rows if row[column]]


def _parquet(src: str, column: str) -> Iterable[str]:
    pq = importlib.import_module("pyarrow.parquet")
    errors = importlib.import_module("pyarrow").ArrowInvalid
    try:
        file = pq.ParquetFile(io.BytesIO(_content(src)))
    except errors:
        raise DataError(f"{src} is no Parquet file: give one, or a list that ends in .txt") from None
    _require(src, column, file.schema_arrow.names)
    return [str(name) for name in file.read([column]).column(column).to_pylist() if name]


_READERS: dict[str, Callable[[str, str], Iterable[str]]] = dict(zip(TABLES, (_lines, _csv, _parquet), strict=True))


def _content(src: str) -> bytes:
    if not is_address(src):
        return Path(src).read_bytes()
    files, path = file_system(src)
    with readable(src):
        content: bytes = files.cat_file(path)
    return content


def _require(src: str, column: str, names: Iterable[str]) -> None:
    names = list(names)
    if column not in names:
        raise ConfigError(f"{src} has no column {column}, but {', '.join(names) or 'none'}: name one with --column")
