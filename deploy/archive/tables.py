"""The three tables of a data set: their columns and types."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from cavsync.deploy.sinks.text import SUMMARY_FIELDS
from cavsync.deploy.verdict.records import RECORD_FIELDS

VERDICTS, WINDOWS, EVENTS = TABLES = ("verdicts", "windows", "events")
PROVENANCE_COLUMNS = ("size_bytes", "etag", "bundle_name", "bundle_sha256", "cavsync_version")
COLUMNS = {
    VERDICTS: (
        *("source", *PROVENANCE_COLUMNS, "error", *RECORD_FIELDS, *SUMMARY_FIELDS),
        *("early_limit_ms", "late_limit_ms", "notes", "path_share", "media", "versions"),
    ),
    WINDOWS: ("source", *RECORD_FIELDS),
    EVENTS: ("source", "start", "end", "state", "extreme", "cause"),
}
WHOLE_NUMBERS = {"size_bytes", "num_windows", "num_faces"}
NUMBERS = {"similarity", "confidence", "start", "end", "extreme"}
NUMBER_ENDINGS = ("_seconds", "_ms", "_ms_per_minute", "_share")


@cache
def schema(table: str) -> Any:
    """Return the table's schema of pyarrow."""
    pa = importlib.import_module("pyarrow")
    return pa.schema([(name, _type(pa, name)) for name in COLUMNS[table]])


def _type(pa: Any, name: str) -> Any:
    if name in WHOLE_NUMBERS:
        return pa.int64()
    if name == "within_profile":
        return pa.bool_()
    if name == "notes":
        return pa.list_(pa.string())
    if name in NUMBERS or (name.endswith(NUMBER_ENDINGS) and name != "path_share"):
        return pa.float64()
    return pa.string()
