"""The reference names every field, metric, route, profile and kind of chunk that the code has, and no other."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from documents import ROOT
from fake_bundle import write_fake_bundle

from cavsync.deploy import EventChange, FileSummary, LiveStatus
from cavsync.deploy.sinks.text import COLUMNS
from cavsync.deploy.verdict.profiles import BROADCAST_LIMITS_MS, PROFILE_NAMES
from cavsync.deploy.verdict.records import RECORD_FIELDS, STATES
from cavsync.deploy.verdict.trend import Event
from cavsync.media import MediaInfo

REFERENCE = ROOT / "docs" / "reference"
RECORDS = (REFERENCE / "records.md").read_text("utf-8")
VERDICT = (ROOT / "docs" / "start" / "read-a-verdict.md").read_text("utf-8")


def named(text: str) -> set[str]:
    """Words between backquotes."""
    return set(re.findall(r"`([^`]+)`", text))


def first_cells(text: str) -> set[str]:
    """Words between backquotes in the first column of the tables of `text`."""
    return named(" ".join(re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)))


def section(heading: str) -> str:
    (found,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", RECORDS, re.MULTILINE | re.DOTALL)
    return str(found)


def test_fields_of_a_decision() -> None:
    assert first_cells(section("A decision")) == set(RECORD_FIELDS)
    assert set(STATES) <= named(section("A decision"))


def test_fields_of_a_file() -> None:
    own = {item.name for item in fields(FileSummary)} - {"source", "score"}
    text = section("A file")
    assert first_cells(text) == own
    assert {item.name for item in fields(Event)} <= named(text)
    assert {*(item.name for item in fields(MediaInfo)), "ignored_frames"} <= named(text)
    assert set(COLUMNS) <= named(RECORDS)


def test_columns_of_an_archive() -> None:
    """Each with its tables and its type, and no other."""
    pytest.importorskip("pyarrow")
    from cavsync.deploy.archive.tables import TABLES, schema

    types = {"string": "text", "double": "number", "int64": "whole number", "bool": "yes or no"}
    types["list<element: string>"] = types["list<item: string>"] = "list of texts"
    rows = re.findall(
        r"^\| (`[^|]*) \| (`[^|]*) \| ([^|]*) \| [^|]+ \|$", section("Tables of an archive"), re.MULTILINE
    )
    listed = [(table, name, kind) for names, tables, kind in rows for table in named(tables) for name in named(names)]
    assert len(set(listed)) == len(listed)
    assert set(listed) == {(table, one.name, types[str(one.type)]) for table in TABLES for one in schema(table)}


def test_fields_of_live_streams() -> None:
    event = EventChange("began", "audio_late", 1.0, None, -300.0).to_dict()
    status = LiveStatus("running", 1.0, "as usual").to_dict()
    assert first_cells(section("Live streams")) - {"event", "status"} == (event.keys() | status.keys()) - {"kind"}


def test_every_profile_with_its_limits() -> None:
    assert set(PROFILE_NAMES) <= named(VERDICT)
    for name, (early_ms, late_ms) in BROADCAST_LIMITS_MS.items():
        assert re.search(rf"`{name}`\s\(\+{early_ms:g}/-{late_ms:g}\b", VERDICT), name


def test_every_metric() -> None:
    """A counter is exposed with the ending `_total`."""
    prometheus_client = pytest.importorskip("prometheus_client")
    from cavsync.deploy.live.sinks.prometheus import STATUS_GAUGES
    from cavsync.deploy.metrics import SyncMetrics

    registry = prometheus_client.CollectorRegistry()
    SyncMetrics(registry)
    exposed = {f"{family.name}_total" if family.type == "counter" else family.name for family in registry.collect()}
    assert first_cells((REFERENCE / "metrics.md").read_text("utf-8")) == exposed | STATUS_GAUGES.keys()


def test_every_route(tmp_path: Path) -> None:
    """Paths of the server, with {name} of a variable part as in its own description."""
    pytest.importorskip("fastapi")
    from cavsync.deploy import Bundle
    from cavsync.deploy.server.app import create_app
    from cavsync.deploy.server.settings import ServerSettings

    routes = create_app(Bundle.open(write_fake_bundle(tmp_path / "bundle")), ServerSettings()).openapi()["paths"]
    page = (REFERENCE / "http.md").read_text("utf-8")
    described = {path: sorted(method.upper() for method in methods) for path, methods in routes.items()}
    rows = re.findall(r"^\| `([A-Z, ]+) (/[^`]*)` \|", page, re.MULTILINE)
    shown = {path: sorted(methods.split(", ")) for methods, path in rows}
    assert shown == {"/": ["GET"], **described}


def test_every_field_of_a_chunk() -> None:
    from cavsync.deploy.server.chunks import FIELDS

    page = (REFERENCE / "http.md").read_text("utf-8")
    for (kind, form), names in FIELDS.items():
        assert {f'"{name}"' for name in names} <= set(re.findall(r'"\w+"', page)), (kind, form)
        assert f'"{form}"' in page
