"""Connections that end and come again, from a plain HTTP server; and the program that receives SRT."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import pytest
from senders import free_port, need
from sync_clips import write_clip
from waiting import PATIENCE_SECONDS

from cavsync.deploy import Bundle, CallbackSink, EventChange, LiveStatus, SyncScore, Watcher
from cavsync.deploy.live import reader
from cavsync.deploy.live.address import parse_address
from cavsync.deploy.live.backoff import Backoff
from cavsync.deploy.live.connection import Connection
from cavsync.deploy.live.relay import Relay
from cavsync.deploy.verdict.records import AUDIO_LATE
from cavsync.errors import MediaError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Late by 240 ms, 5 s."""
    return write_clip(tmp_path_factory.mktemp("late") / "clip.ts", seconds=5.0, audio_offset_ms=-240.0)


@contextmanager
def endless(clip: Path) -> Iterator[str]:
    """A server that sends the clip without saying how long it is, to everybody who asks: a stream that breaks off."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(clip.read_bytes())

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/live.ts"
        http.shutdown()
        thread.join()


def test_a_connection_that_ended_is_had_again(bundle: Bundle, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection counts as healthy here, so `max_tries` never comes to its end."""
    monkeypatch.setattr(reader, "HEALTHY_SECONDS", 0.0)
    scores: list[SyncScore] = []
    events: list[EventChange] = []
    status: list[LiveStatus] = []
    sink = CallbackSink(decision=scores.append, event=events.append, status=status.append)
    with endless(clip) as address:
        Watcher(address, bundle, sinks=[sink], max_tries=2, backoff=Backoff(0.01, 0.02), duration_seconds=16.0).run()
    times = [score.time_seconds for score in scores]
    assert times == sorted(set(times))
    assert {score.state for score in scores} == {AUDIO_LATE}
    phases = [one.phase for one in status if one.phase != "running"]
    assert phases == ["connected", "waiting", "connected", "waiting", "connected", "ended"]
    assert [one.reconnects for one in status if one.phase == "connected"] == [0, 1, 2]
    # Three stretches of 5 s with a second between them; the first decision of each comes after one window.
    assert [time for before, time in zip([0.0, *times], times, strict=False) if time - before > 1.5] == pytest.approx(
        [2.0, 8.0, 14.0], abs=0.3
    )
    assert [event.phase for event in events] == ["began", "ended"]


def test_failures_in_a_row_end_it(bundle: Bundle, clip: Path) -> None:
    with endless(clip) as address, pytest.raises(MediaError, match=r"live\.ts was lost \("):
        Watcher(address, bundle, max_tries=2, backoff=Backoff(0.01, 0.02)).run()


def test_tracks_that_nobody_reads_are_not_demuxed(clip: Path, tmp_path: Path) -> None:
    need("ffmpeg")
    double = tmp_path / "double.mkv"
    maps = ("-map", "0:v", "-map", "0:a", "-map", "0:a", "-map", "0:v", "-c", "copy")
    subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-i", clip, *maps, double], check=True)
    connection = Connection(parse_address(str(double)), threading.Event())
    kinds = [kind for kind, _ in connection.packets()]
    connection.close()
    with av.open(str(clip)) as plain:
        expected = [packet.stream.type for packet in plain.demux() if packet.size]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {kind: expected.count(kind) for kind in set(expected)}


def test_srt_without_any_way_to_receive_it(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where PyAV's FFmpeg has no SRT and no program is installed, waiting would not help."""
    try:
        av.open("srt://127.0.0.1:9?mode=caller&connect_timeout=1", timeout=1.0)
    except av.error.ProtocolNotFoundError:
        pass
    except av.error.FFmpegError:
        pytest.skip("this PyAV has SRT")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MediaError, match="no SRT, and no ffmpeg program was found") as caught:
        Watcher("srt://127.0.0.1:9?passphrase=secret", bundle).run()
    assert "secret" not in str(caught.value)


def test_the_receiving_program_is_ended_with_the_watch() -> None:
    need("ffmpeg")
    stopped = threading.Event()
    relay = Relay(f"srt://127.0.0.1:{free_port()}?mode=listener", 2 * PATIENCE_SECONDS, 2 * PATIENCE_SECONDS, stopped)
    threading.Timer(0.2, stopped.set).start()
    assert relay.read(1000) == b""
    relay.close()
    assert relay._process.returncode is not None


def test_a_silent_or_absent_sender_is_named() -> None:
    need("ffmpeg")
    relay = Relay(f"srt://127.0.0.1:{free_port()}?mode=listener&passphrase=0123456789", 0.3, 0.3, threading.Event())
    assert relay.read(1000) == b""
    assert relay.why == "nothing came for 0.3 s"
    relay.close()
    relay = Relay("srt://127.0.0.1:9?mode=nonsense&passphrase=0123456789", 20.0, 20.0, threading.Event())
    assert relay.read(1000) == b""
    assert relay.why
    assert "0123456789" not in relay.why
    relay.close()
