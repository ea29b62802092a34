"""`cavsync watch` as a user meets it: lines, files, exit codes, signals, metrics."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_bundle import write_fake_bundle
from senders import free_port
from sync_clips import write_clip
from waiting import PATIENCE_SECONDS, wait_until

from cavsync.cli.main import main
from cavsync.cli.watch_view import TerminalView
from cavsync.deploy.verdict.records import RECORD_FIELDS

COMMAND = (sys.executable, "-P", "-c", "from cavsync.cli.main import main; main()", "watch")


@pytest.fixture(scope="module")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "late.ts", seconds=5.0, audio_offset_ms=-240.0)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["watch", *map(str, arguments), "--threads", "1"])


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]


def test_one_line_per_decision_event_and_status(clip: Path, bundle_path: Path) -> None:
    result = run(clip, "--bundle", bundle_path)
    assert result.exit_code == 0, result.output
    lines = objects(result.stdout)
    windows = [line for line in lines if line["kind"] == "window"]
    assert len(windows) == 7
    assert all(set(RECORD_FIELDS) < set(line) for line in windows)
    assert {line["state"] for line in windows} == {"audio_late"}
    assert [line["phase"] for line in lines if line["kind"] == "event"] == ["began", "ended"]
    assert [line["phase"] for line in lines if line["kind"] == "status"] == ["connected", "ended"]
    assert {line["source"] for line in lines} == {str(clip)}


def test_how_long_a_sender_may_be_silent(bundle_path: Path) -> None:
    options = ("--timeout-seconds", 0.3, "--no-reconnect")
    result = run(f"udp://127.0.0.1:{free_port()}", "--bundle", bundle_path, *options)
    assert (result.exit_code, "nothing arrived for 0.3 s" in result.stderr) == (1, True)


def test_all_files_say_the_same(clip: Path, bundle_path: Path, tmp_path: Path) -> None:
    names = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv", "vtt")}
    options = [item for kind, path in names.items() for item in (f"--{kind}", path)]
    result = run(clip, "--bundle", bundle_path, *options, "--duration-seconds", 4, "--profile", "ebu-r37")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    lines = [line for line in objects(names["json"].read_text()) if line["kind"] == "window"]
    rows = list(csv.DictReader(io.StringIO(names["csv"].read_text())))
    cues = [json.loads(cue.splitlines()[1]) for cue in names["vtt"].read_text().strip().split("\n\n")[1:]]
    assert len(lines) == len(rows) == len(cues) == 5
    assert [float(row["audio_offset_ms"]) for row in rows] == [line["audio_offset_ms"] for line in lines]
    assert [cue["time_seconds"] for cue in cues] == [line["time_seconds"] for line in lines]
    assert {line["profile"] for line in lines} == {"ebu-r37"}
    again = run(clip, "--bundle", bundle_path, "--vtt", names["vtt"])
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)


def test_a_pipe_is_scored_to_its_end(clip: Path, bundle_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "-", "--bundle", bundle_path], input=clip.read_bytes(), capture_output=True, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    lines = objects(done.stdout.decode())
    assert sum(line["kind"] == "window" for line in lines) == 7
    assert lines[-1]["message"] == "the source ended"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("none.mp4",), 1, "does not exist"),
        (("rtmp://user:secret@host/app",), 2, "has an unknown scheme"),
        (("rtsp://user:secret@127.0.0.1:9/", "--no-reconnect"), 1, "Connection refused"),
        (("clip.mp4", "--policy", "newest"), 2, "newest"),
        (("clip.mp4", "--queue-seconds", "0"), 2, "queue-seconds"),
        (("clip.mp4", "--profile", "none"), 2, "none"),
        (("clip.mp4", "--webhook", "ftp://user:secret@x/"), 2, "http://"),
        (("clip.mp4", "--webhook-decisions"), 2, "--webhook"),
        (("clip.mp4", "--option", "novalue"), 2, "key=value"),
        (("clip.mp4", "--json", "none/out.jsonl"), 2, "cannot be written"),
        (("clip.mp4", "--bundle", "nowhere"), 1, "nowhere"),
    ],
)
def test_one_sentence_per_fault(bundle_path: Path, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    chosen = () if "--bundle" in arguments else ("--bundle", bundle_path)
    result = run(*arguments, *chosen)
    assert result.exit_code == code, result.output
    assert sentence in result.stderr
    assert "secret" not in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("source", ["udp", "pipe"])
def test_signals_end_it_in_order(
    bundle_path: Path, tmp_path: Path, source: str, number: signal.Signals, code: int
) -> None:
    """While FFmpeg waits for a sender that is silent."""
    url = f"udp://127.0.0.1:{free_port()}" if source == "udp" else "-"
    process = subprocess.Popen(
        [*COMMAND, url, "--bundle", bundle_path, "--json", tmp_path / "out.jsonl"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until((tmp_path / "out.jsonl").exists)
    time.sleep(0.3)
    process.send_signal(number)
    try:
        # Its standard input stays open meanwhile.
        process.wait(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    _, complaint = process.communicate()
    assert process.returncode == code, complaint
    assert complaint.strip().splitlines()[-1] in ("terminated", "interrupted")
    (line,) = objects((tmp_path / "out.jsonl").read_text())
    assert (line["phase"], line["message"]) == ("ended", "stopped")


def test_metrics_are_served_on_the_loopback_only(clip: Path, bundle_path: Path) -> None:
    """A pipe that stays open holds the watch alive while the metrics are read."""
    pytest.importorskip("prometheus_client")
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "-", "--bundle", bundle_path, "--metrics-port", str(port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(clip.read_bytes())
        process.stdin.flush()
        for line in process.stdout:
            if json.loads(line)["kind"] == "event":
                break
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS) as answer:
            text = answer.read().decode()
        local = {item.split()[1] for item in Path("/proc/net/tcp").read_text().splitlines()[1:]}
        process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0
    assert 'cavsync_windows_total{state="audio_late",stream="-"}' in text
    assert float(text.split('cavsync_audio_offset_seconds{stream="-"} ')[1].split()[0]) == pytest.approx(
        -0.24, abs=0.01
    )
    assert float(text.split("cavsync_inference_duration_seconds_count ")[1].split()[0]) > 0
    assert 'cavsync_lag_seconds{stream="-"}' in text
    assert f"0100007F:{port:04X}" in local
    assert f"00000000:{port:04X}" not in local


def test_a_reader_that_leaves_ends_it_quietly(clip: Path, bundle_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, clip, "--bundle", bundle_path],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    os.close(write)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_the_terminal_shows_verdict_lag_and_events(clip: Path, bundle_path: Path) -> None:
    from rich.console import Console

    from cavsync.deploy import Watcher

    out = io.StringIO()
    view = TerminalView("cam", Console(file=out, force_terminal=True, width=120, color_system=None))
    Watcher(str(clip), bundle_path, sinks=[view], threads=1).run()
    shown = out.getvalue()
    assert "Audio late by 2" in shown
    assert "confidence 0." in shown
    assert "  whole" in shown
    assert "lag " in shown
    assert "audio late began" in shown
    assert "ended: the source ended" in shown


def test_progress_where_stderr_is_no_terminal(clip: Path, bundle_path: Path, tmp_path: Path) -> None:
    """A line for what happens, and one now and then for the verdict; none where the JSON lines are on stdout."""
    said = run(clip, "--bundle", bundle_path, "--json", tmp_path / "out.jsonl").stderr.splitlines()
    assert all(line.startswith(f"{clip}  ") for line in said)
    words = [line.partition(" s  ")[2] for line in said]
    assert words[0].startswith("Audio late by 2")
    assert [word.partition(",")[0] for word in words[1:-1]] == [
        "audio late began",
        "audio late open when the stream ended",
    ]
    assert words[-1] == "ended: the source ended"
    assert run(clip, "--bundle", bundle_path).stderr == ""
