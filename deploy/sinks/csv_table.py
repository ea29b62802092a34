"""A CSV table (RFC 4180) with a row per decision, per file and per error, distinguished by the column `kind`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from typing import Any

from cavsync.deploy.files.score_file import FileFailure, Outcome
from cavsync.deploy.verdict.records import RECORD_FIELDS

SUMMARY_FIELDS = ("duration_seconds", "drift_ms_per_minute", "worst_offset_ms", "undetermined_share", "num_windows")
COLUMNS = ("kind", "source", *RECORD_FIELDS, *SUMMARY_FIELDS)
# Spreadsheets run cells that begin with these as formulas, and a file name may come from anyone.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_text(outcomes: Iterable[Outcome]) -> str:
    """Table of all outcomes with a header row; unknown values are empty cells."""
    return header_text() + "".join(row_text(row) for outcome in outcomes for row in _rows(outcome))


def header_text() -> str:
    """The header row."""
    return _written(lambda writer: writer.writeheader())


def row_text(row: dict[str, Any]) -> str:
    """One row; entries that are not columns are left out."""
    return _written(lambda writer: writer.writerow({name: _cell(value) for name, value in row.items()}))


def _written(write: Callable[[csv.DictWriter[str]], object]) -> str:
    out = io.StringIO()
    write(csv.DictWriter(out, COLUMNS, restval="", extrasaction="ignore"))
    return out.getvalue()


def _rows(outcome: Outcome) -> list[dict[str, Any]]:
    if isinstance(outcome, FileFailure):
        return [{"kind": "error", "source": outcome.source, "reason": outcome.error}]
    windows = [{"kind": "window", "source": outcome.source, **record.to_dict()} for record in outcome.records]
    return [*windows, outcome.summary.to_dict()]


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return value
