"""The label vocabulary of a data set: CAV-MAE's CSV `index,mid,display_name`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from cavsync.errors import DataError, MediaError

Label = tuple[int, str, str]
HEADER = ["index", "mid", "display_name"]


def read_vocabulary(path: Path) -> list[Label]:
    """(index, mid, display name) of every class. Raises DataError for a file that is no such CSV."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [[cell.strip() for cell in row] for row in csv.reader(stream, skipinitialspace=True) if row]
        if not rows or rows[0] != HEADER:
            raise ValueError("its first line differs")
        return [(int(index), mid, name) for index, mid, name in rows[1:]]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path} is no label vocabulary ({error}): give a CSV whose first line is {','.join(HEADER)}"
        ) from None


def label_names(vocabulary: Sequence[Label]) -> frozenset[str]:
    """What a label may be called: its mid or its display name."""
    return frozenset(name for _, mid, display_name in vocabulary for name in (mid, display_name))


def check_labels(labels: Sequence[str], known: frozenset[str] | None, where: str) -> None:
    """Raise MediaError (reason `label`) for a label that is not `known`; None knows all."""
    strange = [] if known is None else [label for label in labels if label not in known]
    if strange:
        raise MediaError(
            f"{where} has the label {strange[0]!r}, which is neither a mid nor a display name of the vocabulary: "
            "correct the label or the vocabulary",
            reason="label",
        )
