"""The names in lists (`.txt`) and in tables (`.csv`, `.parquet`), of this machine or at an address."""

from __future__ import annotations

import codecs
import csv
import importlib
import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cavsync.deploy.archive.addresses import shown
from cavsync.deploy.archive.storage import file_system, readable
from cavsync.errors import ConfigError, DataError
from cavsync.file_names import is_address


def listed_names(src: str, ending: str, column: str) -> list[str]:
    """Return the names in a list or table, in its order; empty ones are left out.

    Args:
        src: the list or table.
        ending: one of `ENDINGS`, which says what it is.
        column: the column of a table that holds the names.

    Raises:
        ConfigError: a table has no such column, has it twice, or it holds no text.
        DataError: it is damaged, or no UTF-8 text.
        MediaError: it cannot be read from its store.
    """
    return [name for name in _READERS[ending](src, column) if name]


def _lines(src: str, column: str) -> Iterable[str]:
    del column
    # Not splitlines: other characters that it splits at may stand in names.
    lines = (line.strip() for line in re.split(r"\r\n|\r|\n", _text(src)))
    return (line for line in lines if not line.startswith("#"))


def _csv(src: str, column: str) -> Iterable[str]:
    rows = csv.DictReader(io.StringIO(_text(src), newline=""))
    try:
        _require_once(src, column, rows.fieldnames or ())
        # A row that is too short has None there.
        return [row[column] or "" for row in rows]
    except csv.Error as error:
        raise DataError(
            f"{shown(src)} is not a table ({error}, line {rows.line_num}): give CSV with a header"
        ) from None


def _parquet(src: str, column: str) -> Iterable[str]:
    pq = importlib.import_module("pyarrow.parquet")
    pa = importlib.import_module("pyarrow")
    try:
        file = pq.ParquetFile(io.BytesIO(_content(src)))
        _require_once(src, column, file.schema_arrow.names)
        _require_text(src, column, file.schema_arrow.field(column).type, pa.types)
        return [name or "" for name in file.read([column]).column(column).to_pylist()]
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError):
        raise DataError(
            f"{shown(src)} is not a Parquet file, or is damaged: write it again, or give a list in .txt"
        ) from None


def _require_text(src: str, column: str, kind: Any, types: Any) -> None:
    value = kind.value_type if types.is_dictionary(kind) else kind
    # The type of a column without any value is null.
    if not any(fits(value) for fits in (types.is_string, types.is_large_string, types.is_string_view, types.is_null)):
        raise ConfigError(
            f"column {column} of {shown(src)} holds {str(kind).partition('<')[0]} values: name a column of text with "
            "--column"
        )


def _require_once(src: str, column: str, names: Iterable[str]) -> None:
    names = list(names)
    if column not in names:
        raise ConfigError(
            f"{shown(src)} has no column {column}, but {', '.join(names) or 'none'}: name one with --column"
        )
    if names.count(column) > 1:
        raise ConfigError(f"{shown(src)} has {names.count(column)} columns {column}: give each a name of its own")


def _text(src: str) -> str:
    content = _content(src).removeprefix(codecs.BOM_UTF8)
    # Names may hold any other byte.
    if b"\0" in content or content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{shown(src)} is not UTF-8 text (perhaps UTF-16, or not text at all): save it as UTF-8")
    return content.decode("utf-8", "surrogateescape")


def _content(src: str) -> bytes:
    if not is_address(src):
        return Path(src).read_bytes()
    files, path = file_system(src)
    with readable(src, shown(src)):
        content: bytes = files.cat_file(path)
    return content


_READERS: dict[str, Callable[[str, str], Iterable[str]]] = {".txt": _lines, ".csv": _csv, ".parquet": _parquet}
ENDINGS = tuple(_READERS)
