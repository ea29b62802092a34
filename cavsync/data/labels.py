"""Label files: a vocabulary, CAV-MAE's CSV `index,mid,display_name`, and the `labels.csv` of a folder of videos.

Imports only `cavsync.errors`.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from cavsync.errors import DataError, MediaError

Label = tuple[int, str, str]
VOCABULARY_HEADER = ["index", "mid", "display_name"]
FOLDER_LABELS_NAME = "labels.csv"
FOLDER_HEADER = ["file", "labels"]


def read_vocabulary(path: Path) -> list[Label]:
    """Return (index, mid, display name) of every class. Raises DataError for another kind of file."""
    try:
        return [(int(index), mid, name) for index, mid, name in _read_rows(path, VOCABULARY_HEADER)]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path} is not a label vocabulary ({error}): give a CSV with the columns {','.join(VOCABULARY_HEADER)}"
        ) from None


def vocabulary_text(vocabulary: Iterable[Label]) -> str:
    """Return the text of the CSV that `read_vocabulary` reads."""
    return _csv_text(VOCABULARY_HEADER, ([str(index), mid, name] for index, mid, name in vocabulary))


def label_names(vocabulary: Sequence[Label]) -> frozenset[str]:
    """Return every name that a label may have: the mids and the display names."""
    return frozenset(name for _, mid, display_name in vocabulary for name in (mid, display_name))


def check_labels(labels: Sequence[str], known: frozenset[str] | None, where: str) -> None:
    """Raise MediaError (reason `label`) for a label that is not `known`; None allows every label."""
    unknown = [] if known is None else [label for label in labels if label not in known]
    if unknown:
        raise MediaError(
            f"{where} has the label {unknown[0]!r}, which is neither a mid nor a display name of the vocabulary: "
            "correct the label or the vocabulary",
            reason="label",
        )


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
        for file, *labels in _read_rows(path, FOLDER_HEADER):
            if file in found:
                raise ValueError(f"it lists {file} twice")
            found[file] = tuple(label for label in labels if label)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be used ({error}): write one line per file, the file and its labels") from None
    return found


def folder_labels_text(labels: dict[str, tuple[str, ...]]) -> str:
    """Return the text of a labels.csv."""
    return _csv_text(FOLDER_HEADER, ([file, *names] for file, names in labels.items()))


def split_labels(labels: str) -> tuple[str, ...]:
    """Split a CSV cell or JSON string of labels at its commas."""
    # Many clips share a few names: interning keeps one string per name.
    return tuple(sys.intern(label.strip()) for label in labels.split(",") if label.strip())


def _read_rows(path: Path, header: list[str]) -> list[list[str]]:
    """Return the rows below the header, cells stripped. Raises OSError, ValueError (another header) or csv.Error."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [[cell.strip() for cell in row] for row in csv.reader(stream, skipinitialspace=True) if row]
    if not rows or rows[0] != header:
        raise ValueError(f"its first line is not {','.join(header)}")
    return rows[1:]


def _csv_text(header: list[str], rows: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    return stream.getvalue()
