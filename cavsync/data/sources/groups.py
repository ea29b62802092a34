"""The footage that each clip belongs to: clips of one recording set-up share its offset between audio and video."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path, PurePath

from cavsync.data.shards import ShardFolder
from cavsync.data.sources.clips import ClipSource
from cavsync.data.sources.joined import JoinedSources
from cavsync.errors import DataError

TABLE = "manifest.csv"
GROUP_COLUMNS = ("source", "group")


def clip_groups(source: JoinedSources, paths: Sequence[Path]) -> list[str]:
    """Return the name of each clip's group; `paths` are those of the joined sources.

    A group is what `manifest.csv` in a source's folder says in its column `source` or `group` of the clip's `path`; of
    clips that it does not list, the folder that holds the clip. Raises DataError for a table without these columns.
    """
    found: list[str] = []
    for part, path in zip(source.sources, paths, strict=True):
        named = _read_table(path / TABLE)
        for index in range(len(part.names)):
            file = PurePath(_file_of(part, index, path))
            found.append(named.get(file.as_posix()) or (PurePath(path.resolve().name) / file.parent).as_posix())
    return found


def _file_of(part: ClipSource, index: int, path: Path) -> str:
    """Return the clip's file, relative to the source that it was read or packed from."""
    if isinstance(part, ShardFolder):
        return part.file_of(index)
    name = Path(part.names[index])
    return name.relative_to(path).as_posix() if name.is_relative_to(path) else name.name


def _read_table(path: Path) -> dict[str, str]:
    """Return the group of each file that a table lists; empty without a table."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}): correct or remove it") from None
    column = next((name for name in GROUP_COLUMNS if rows and name in rows[0]), None)
    if rows and ("path" not in rows[0] or column is None):
        raise DataError(f"{path} has no columns path and {' or '.join(GROUP_COLUMNS)}: add them or remove the table")
    return {row["path"]: row[column] for row in rows if column is not None and row["path"] and row[column]}
