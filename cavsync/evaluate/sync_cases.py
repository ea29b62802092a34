"""The clips of a sync test: a folder of media, described by a truth.jsonl or manifest.csv where it has one."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cavsync.data.synth import read_truth
from cavsync.errors import DataError
from cavsync.media.files import find_media

TABLE_NAME = "manifest.csv"


@dataclass(frozen=True)
class SyncCase:
    """One clip: its true offset (> 0: the audio is early), the kind it is counted under, whether it was generated."""

    path: Path
    kind: str
    true_offset_ms: float = 0.0
    generated: bool = False


def sync_cases(folder: Path, only: Mapping[str, str] | None = None) -> list[SyncCase]:
    """Clips of a folder that `cavsync data synth` wrote, of one with a manifest.csv (columns path and perhaps kind), or
    of any other, whose clips are then taken to be in sync. `only` keeps the rows of the table with these values.

    Raises DataError for a folder without clips, a table that does not fit, or a selection that leaves nothing.
    """
    truth = read_truth(folder)
    if truth:
        rows = [{**record, "path": record["file"], "kind": record["family"]} for record in truth]
    elif (folder / TABLE_NAME).is_file():
        rows = _read_table(folder / TABLE_NAME)
    else:
        rows = [{"path": str(path.relative_to(folder)), "kind": "clips"} for path in find_media(folder)]
    missing = next((column for column in only or {} if rows and column not in rows[0]), None)
    if missing is not None:
        raise DataError(f"{folder} has no column '{missing}': select by one of {', '.join(rows[0])}.")
    kept = [row for row in rows if all(str(row[column]) == value for column, value in (only or {}).items())]
    if not kept:
        raise DataError(
            f"{folder} holds no clip{' that was selected' if rows else ''}: name another folder or selection."
        )
    try:
        return [
            SyncCase(
                folder / row["path"], str(row.get("kind", "clips")), float(row.get("audio_offset_ms", 0)), bool(truth)
            )
            for row in kept
        ]
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{folder} has a row without a path, or with an audio_offset_ms that is no number ({error}): correct it."
        ) from None


def _read_table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as table:
            rows = list(csv.DictReader(table))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table ({error}): write it as CSV with a column 'path'.") from None
    if rows and "path" not in rows[0]:
        raise DataError(f"{path} has the columns {', '.join(rows[0])}, expected 'path' among them: add it.")
    return rows
