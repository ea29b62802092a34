"""Text sinks: every line is there when it was written, files are added to and never lost."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from cavsync.deploy.live import CallbackSink, CsvSink, JsonLinesSink, LiveStatus, VttSink
from cavsync.deploy.verdict.events import EventChange
from cavsync.deploy.verdict.records import AUDIO_LATE, RECORD_FIELDS, SyncScore
from cavsync.errors import ConfigError, DataError

LATE = SyncScore(2.0, 2.0, -300.04, 5.0, -300.04, 0.9, 0.9, AUDIO_LATE, "custom", False, is_measured=True)
EVENT = EventChange("began", AUDIO_LATE, 2.0, None, -300.0)
STATUS = LiveStatus("running", 5.0, "", lag_seconds=1.23456, drift_ms_per_minute=float("nan"))


def test_json_lines_are_complete_at_once(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    sink = JsonLinesSink(path)
    sink.on_decision("cam", LATE)
    assert json.loads(path.read_text())["audio_offset_ms"] == -300.0, "flushed before anything else happens"
    sink.on_event("cam", EVENT)
    sink.on_status("cam", STATUS)
    sink.close()
    sink.close()
    again = JsonLinesSink(path)
    again.on_decision("cam", replace(LATE, time_seconds=9.0))
    again.close()
    lines = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["window", "event", "status", "window"]
    assert {line["source"] for line in lines} == {"cam"}
    assert set(lines[0]) == {"kind", "source", *RECORD_FIELDS}
    assert (lines[1]["start"], lines[1]["end"], lines[1]["extreme"]) == (2.0, None, -300.0)
    assert (lines[2]["lag_seconds"], lines[2]["drift_ms_per_minute"]) == (1.235, None)


def test_csv_has_one_header_however_often_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "live.csv"
    for seconds in (2.0, 3.0):
        sink = CsvSink(path)
        sink.on_decision("=cam", replace(LATE, time_seconds=seconds))
        sink.on_event("=cam", EVENT)
        sink.close()
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [float(row["time_seconds"]) for row in rows] == [2.0, 3.0]
    assert {(row["kind"], row["source"], row["state"]) for row in rows} == {("window", "'=cam", AUDIO_LATE)}


def test_vtt_cues_do_not_overlap_and_a_file_is_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "live.vtt"
    sink = VttSink(path)
    for seconds in (2.0, 2.5, 8.0):
        sink.on_decision("cam", replace(LATE, time_seconds=seconds))
    sink.close()
    header, *cues = path.read_text().strip().split("\n\n")
    assert header == "WEBVTT"
    assert [cue.splitlines()[0] for cue in cues] == [
        "00:00:00.000 --> 00:00:02.000",
        "00:00:02.000 --> 00:00:02.500",
        "00:00:06.000 --> 00:00:08.000",
    ]
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        VttSink(path)
    assert path.read_bytes() == before


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        JsonLinesSink(tmp_path / "none" / "live.jsonl")
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    sink = JsonLinesSink(Path("/dev/full"))
    with pytest.raises(DataError, match="No space left"):
        sink.on_decision("cam", LATE)
    sink.close()


def test_a_stream_of_somebody_else_stays_open() -> None:
    stream = io.StringIO()
    sink = JsonLinesSink(stream)
    sink.on_decision("cam", LATE)
    sink.close()
    assert json.loads(stream.getvalue())["state"] == AUDIO_LATE


def test_callbacks_get_what_they_ask_for() -> None:
    got: list[object] = []
    sink = CallbackSink(decision=got.append, event=got.append)
    sink.on_decision("cam", LATE)
    sink.on_event("cam", EVENT)
    sink.on_status("cam", STATUS)
    sink.close()
    assert got == [LATE, EVENT]
