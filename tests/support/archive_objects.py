"""An archive read back as the objects that `cavsync score --json` writes, so that every field of both is compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

OBJECTS = ("path_share", "media", "versions")
OWN_COLUMNS = ("size_bytes", "etag", "bundle_sha256", "cavsync_version")


def archived_objects(out: Path) -> dict[str, list[dict[str, Any]]]:
    """Windows in order, then the summary or the error, of each source; each source must have one verdict."""
    windows, events = _rows(out / "windows"), _rows(out / "events")
    objects: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(out / "verdicts").to_pylist():
        source = row["source"]
        assert source not in objects, f"{source} stands twice"
        own = [{"kind": "window", "source": source, **one} for one in windows.pop(source, [])]
        objects[source] = [*own, _last(row, events.pop(source, []))]
    assert not windows, "windows without a verdict"
    assert not events, "events without a verdict"
    return objects


def scored_objects(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The same of the JSON lines of `cavsync score`; of the bundle, the archive has the name in each row."""
    objects: dict[str, list[dict[str, Any]]] = {}
    for line in path.read_text("utf-8").splitlines():
        one = json.loads(line)
        if one["kind"] == "summary":
            one["bundle"] = {"name": one["bundle"]["name"]}
        objects.setdefault(one["source"], []).append(one)
    return objects


def _rows(table: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(table).to_pylist():
        found.setdefault(row.pop("source"), []).append(row)
    for rows in found.values():
        rows.sort(key=lambda row: row["time_seconds"] if "time_seconds" in row else row["start"])
    return found


def _last(row: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    rest = {name: value for name, value in row.items() if name not in OWN_COLUMNS}
    error, name = rest.pop("error"), rest.pop("bundle_name")
    if error is not None:
        assert rest.pop("state") == "failed"
        assert {key for key, value in rest.items() if value is not None} == {"source"}, "a failed file has no score"
        assert not events
        return {"kind": "error", "source": row["source"], "error": error}
    rest |= {field: json.loads(rest[field]) for field in OBJECTS}
    return {"kind": "summary", **rest, "events": events, "bundle": {"name": name}}
