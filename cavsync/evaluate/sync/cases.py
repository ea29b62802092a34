"""The clips of a sync test: a folder of media with or without a description, or a manifest of JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cavsync.data.synth import TRUTH_NAME, read_truth
from cavsync.errors import DataError
from cavsync.evaluate.results.provenance import relative_name
from cavsync.evaluate.sync.trial_list import TrialListLine, read_trial_list
from cavsync.media.files import find_media

TABLE_NAME = "manifest.csv"


@dataclass(frozen=True)
class SyncCase:
    """One clip: its true offset (> 0: the audio is early), its kind and source, by which results are grouped, whether
    it was generated, the trials that a manifest fixes, its name, the path below the data, and its group: clips of a
    group, such as those of one speaker, depend on each other. A clip without a group is one by itself."""

    path: Path
    kind: str
    true_offset_ms: float = 0.0
    generated: bool = False
    source: str = ""
    trials: TrialListLine | None = None
    name: str = ""
    group: str = ""


def sync_cases(data: Path, only: Mapping[str, tuple[str, ...]] | None = None) -> list[SyncCase]:
    """Read the clips of `data`, one of:

    - a folder written by `cavsync data synth`;
    - a folder with a manifest.csv: column path, optionally kind, source, group and audio_offset_ms;
    - any other folder of media, whose clips are taken to be in sync;
    - a manifest of JSON lines, with paths relative to it.

    A clip that names no source has its folder's name as source, and a clip that names no group is one by itself.
    only: by column, keep the clips with one of these values in their row. Raises DataError for data without clips, an
    unusable table, or a selection that leaves no clip.
    """
    if data.is_file():
        return _manifest_cases(data, only or {})
    folder, truth = data, read_truth(data)
    if truth:
        rows = [{**record, "path": record["file"], "kind": record["family"]} for record in truth]
    elif (folder / TABLE_NAME).is_file():
        rows = _read_table(folder / TABLE_NAME)
    else:
        rows = [{"path": str(path.relative_to(folder)), "kind": "clips"} for path in find_media(folder)]
    missing = next((column for column in only or {} if rows and column not in rows[0]), None)
    if missing is not None:
        raise DataError(f"{folder} has no column '{missing}': select by one of {', '.join(rows[0])}.")
    kept = [row for row in rows if all(_as_text(row[column]) in values for column, values in (only or {}).items())]
    if not kept:
        raise DataError(
            f"{folder} holds no clip{' that was selected' if rows else ''}: name another folder or selection."
        )
    try:
        return [
            _case(
                folder / row["path"],
                folder,
                str(row.get("kind", "clips")),
                float(row.get("audio_offset_ms", 0)),
                generated=bool(truth),
                source=str(row.get("source") or ""),
                group=str(row.get("group") or ""),
            )
            for row in kept
        ]
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{folder} has a row without a path or without a number as audio_offset_ms ({error}): correct it."
        ) from None


def truth_files(data: Path) -> list[Path]:
    """Return the files that describe the clips of `sync_cases`: the manifest, or the folder's truth.jsonl or table."""
    return [path for path in (data, data / TRUTH_NAME, data / TABLE_NAME) if path.is_file()]


def _manifest_cases(path: Path, only: Mapping[str, tuple[str, ...]]) -> list[SyncCase]:
    lines = read_trial_list(path)
    columns = (
        set(TrialListLine.model_fields) if not lines else {*TrialListLine.model_fields, *(lines[0].model_extra or ())}
    )
    missing = next((column for column in only if column not in columns), None)
    if missing is not None:
        raise DataError(f"{path} has no entry '{missing}': select by one of {', '.join(sorted(columns))}.")
    kept = [
        line
        for line in lines
        if all(_as_text(line.model_dump().get(column)) in values for column, values in only.items())
    ]
    if not kept:
        raise DataError(f"{path} names no clip{' that was selected' if lines else ''}: name another file or selection.")
    return [
        _case(
            path.parent / line.path,
            path.parent,
            line.kind,
            line.audio_offset_ms,
            generated=line.generated,
            source=line.source,
            group=line.group,
            trials=line,
        )
        for line in kept
    ]


def _case(
    clip: Path,
    folder: Path,
    kind: str,
    true_offset_ms: float,
    *,
    generated: bool,
    source: str,
    group: str,
    trials: TrialListLine | None = None,
) -> SyncCase:
    name = relative_name(clip, folder)
    return SyncCase(
        clip, kind, true_offset_ms, generated, source or clip.absolute().parent.name, trials, name, group or name
    )


def _as_text(value: Any) -> str:
    """Return a value of a row as `--only` names it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _read_table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as table:
            rows = list(csv.DictReader(table))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table ({error}): write it as CSV with a column 'path'.") from None
    if rows and "path" not in rows[0]:
        raise DataError(f"{path} has the columns {', '.join(rows[0])}, expected 'path' among them: add it.")
    return rows
