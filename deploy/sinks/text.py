"""Scores as text: JSON lines, a CSV table (RFC 4180) and WebVTT metadata cues (W3C)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

from cavsync.deploy.files.score_file import FileFailure, FileScore, Outcome
from cavsync.deploy.verdict.records import RECORD_FIELDS, SyncScore

SUMMARY_FIELDS = (
    "duration_seconds",
    "drift_ms_per_minute",
    "worst_offset_ms",
    "undetermined_share",
    "num_windows",
    "num_faces",
    "audio_stream",
)
COLUMNS = ("kind", "source", *RECORD_FIELDS, *SUMMARY_FIELDS)
# Spreadsheets run cells that begin with these as formulas, and a file name may come from anyone.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
CSV_HEADER = ",".join(COLUMNS) + "\r\n"
VTT_HEADER = "WEBVTT\n"


def json_text(item: dict[str, Any]) -> str:
    """One object as strict JSON on one line: never NaN or Infinity."""
    return json.dumps(item, allow_nan=False, ensure_ascii=False)


def window_object(source: str, score: SyncScore) -> dict[str, Any]:
    """A decision as an object of the JSON lines."""
    return {"kind": "window", "source": source, **score.to_dict()}


def jsonl_text(outcomes: Iterable[Outcome]) -> str:
    """One line per object: each file's decisions, then the file; a failed file gives one object with its error.

    `kind` is `window`, `track` (with all audio tracks), `summary` or `error`.
    """
    return "".join(json_text(item) + "\n" for outcome in outcomes for item in objects_of(outcome))


def csv_row(row: dict[str, Any]) -> str:
    """One row of the table: a decision, a file or an error, distinguished by the column `kind`.

    Unknown values are empty cells; the error is in the column `reason`. Entries that are not columns are left out.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", extrasaction="ignore")
    writer.writerow({name: csv_cell(value) for name, value in {"reason": row.get("error"), **row}.items()})
    return out.getvalue()


def vtt_text(score: FileScore) -> str:
    """Cues whose JSON players pass to the page while the file plays, one per decision.

    A cue starts at the time of the decision before (or at the start of the first window) and ends at its own.
    """
    cues = [VTT_HEADER]
    start_seconds = score.records[0].time_seconds - score.records[0].window_seconds
    for record in score.records:
        cues.append(vtt_cue(start_seconds, record))
        start_seconds = record.time_seconds
    return "\n".join(cues)


def vtt_cue(start_seconds: float, record: SyncScore) -> str:
    """The cue of one decision, from `start_seconds` to the decision's time."""
    # A cue may not contain `-->`; the escape means the same inside a JSON string.
    payload = json.dumps(record.to_dict(), allow_nan=False).replace("-->", "--\\u003e")
    return f"{vtt_time(start_seconds)} --> {vtt_time(record.time_seconds)}\n{payload}\n"


def objects_of(outcome: Outcome) -> list[dict[str, Any]]:
    """The objects of one file: its decisions, its audio tracks if all were asked for, then the file; or its error."""
    if isinstance(outcome, FileFailure):
        return [{"kind": "error", "source": outcome.source, "error": outcome.error}]
    windows = (window_object(outcome.source, record) for record in outcome.records)
    return [*windows, *(track.to_dict() for track in outcome.tracks), outcome.summary.to_dict()]


def csv_cell(value: Any) -> Any:
    """A value as a cell of a table."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return value


def vtt_time(seconds: float) -> str:
    """A time as WebVTT writes it."""
    milliseconds = max(0, round(seconds * 1000))
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"
