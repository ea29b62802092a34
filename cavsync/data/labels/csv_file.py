"""Rows of the CSV files that hold labels."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path


def read_csv_rows(path: Path, header: Sequence[str]) -> list[list[str]]:
    """Return the rows below the header, cells stripped. Raises OSError, ValueError (another header) or csv.Error."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [[cell.strip() for cell in row] for row in csv.reader(stream, skipinitialspace=True) if row]
    if not rows or rows[0] != [*header]:
        raise ValueError(f"its first line is not {','.join(header)}")
    return rows[1:]


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as the text of a CSV file."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()
