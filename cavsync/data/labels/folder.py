"""Classes of the clips in a folder of videos: `labels.csv` beside them."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from cavsync.errors import DataError

FOLDER_LABELS_NAME = "labels.csv"
HEADER = ["file", "labels"]


def read_folder_labels(folder: Path) -> dict[str, tuple[str, ...]]:
    """Labels by file name relative to the folder; none where it has no labels.csv.

    Its first line is `file,labels`; every other one names a file and then its labels, each in a column of its own.
    Raises DataError for a file that is no such CSV, or names a file twice.
    """
    path = folder / FOLDER_LABELS_NAME
    if not path.exists():
        return {}
    found: dict[str, tuple[str, ...]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [[cell.strip() for cell in row] for row in csv.reader(stream, skipinitialspace=True) if row]
        if not rows or rows[0] != HEADER:
            raise ValueError(f"its first line is not {','.join(HEADER)}")
        for file, *labels in rows[1:]:
            if file in found:
                raise ValueError(f"{file} stands there twice")
            found[file] = tuple(label for label in labels if label)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be used ({error}): write one line per file, the file and its labels") from None
    return found


def folder_labels_text(labels: dict[str, tuple[str, ...]]) -> str:
    """Content of a labels.csv."""
    return csv_lines([HEADER, *([file, *names] for file, names in labels.items())])


def split_labels(labels: str) -> tuple[str, ...]:
    """Labels of one cell or JSON string, separated by commas."""
    # Few names, many clips: one string each.
    return tuple(sys.intern(label.strip()) for label in labels.split(",") if label.strip())


def csv_lines(rows: Iterable[Sequence[str]]) -> str:
    """Rows as the text of a CSV file."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()
