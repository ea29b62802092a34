"""The labels of a folder of videos: its `labels.csv`."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from cavsync.data.labels.csv_file import csv_text, read_csv_rows
from cavsync.errors import DataError

FOLDER_LABELS_NAME = "labels.csv"
HEADER = ["file", "labels"]


def read_folder_labels(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the labels by file name relative to the folder; empty if there is no labels.csv.

    Its first line is `file,labels`; every other line is a file name and its labels, one per column.
    Raises DataError for another kind of file, or a file name that occurs twice.
    """
    path = folder / FOLDER_LABELS_NAME
    if not path.exists():
        return {}
    found: dict[str, tuple[str, ...]] = {}
    try:
        for file, *labels in read_csv_rows(path, HEADER):
            if file in found:
                raise ValueError(f"it lists {file} twice")
            found[file] = tuple(label for label in labels if label)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be used ({error}): write one line per file, the file and its labels") from None
    return found


def folder_labels_text(labels: dict[str, tuple[str, ...]]) -> str:
    """Return the text of a labels.csv."""
    return csv_text([HEADER, *([file, *names] for file, names in labels.items())])


def split_labels(labels: str) -> tuple[str, ...]:
    """Split a CSV cell or JSON string of labels at its commas."""
    # Many clips share a few names: interning keeps one string per name.
    return tuple(sys.intern(label.strip()) for label in labels.split(",") if label.strip())
