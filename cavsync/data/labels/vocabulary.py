"""The label vocabulary of a data set: CAV-MAE's CSV `index,mid,display_name`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from cavsync.data.labels.csv_file import read_csv_rows
from cavsync.errors import DataError, MediaError

Label = tuple[int, str, str]
HEADER = ["index", "mid", "display_name"]


def read_vocabulary(path: Path) -> list[Label]:
    """Return (index, mid, display name) of every class. Raises DataError for another kind of file."""
    try:
        return [(int(index), mid, name) for index, mid, name in read_csv_rows(path, HEADER)]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path} is no label vocabulary ({error}): give a CSV with the columns {','.join(HEADER)}"
        ) from None


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
