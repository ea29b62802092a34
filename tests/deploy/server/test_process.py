"""`cavsync serve` as a process: starts, refuses to start, holds its limits, and ends cleanly."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from live_sender import course_chunks, send
from server_process import serving
from waiting import PATIENCE_SECONDS
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from cavsync.deploy.server.settings import MAX_CHUNK_BYTES


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", "from cavsync.cli.main import main; main()", "serve", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "open to everyone"),
        (["--host", "0.0.0.0", "--token", "short"], "at least 16"),
        (["--profile", "none"], "profile 'none' is unknown"),
        (["--watch", "nothing"], "NAME=URL"),
        (["--watch", "one=foo://x"], "has an unknown scheme"),
        (["--hop-ms", "7"], "multiple of 10 ms"),
        (["--host", "192.0.2.1", "--token", "0123456789abcdef"], "cannot listen on"),
    ],
)
def test_what_cannot_be_served_is_bad_usage(bundle_path: Path, options: list[str], words: str) -> None:
    done = run("--bundle", str(bundle_path), *options)
    assert (done.returncode, words in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr


def test_a_port_in_use_and_a_missing_bundle(bundle_path: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("--bundle", str(bundle_path), "--port", str(taken.getsockname()[1]))
    assert (done.returncode, "cannot listen on" in done.stderr) == (2, True)
    done = run("--bundle", str(tmp_path / "missing"))
    assert (done.returncode, "does not exist" in done.stderr) == (1, True)


@pytest.mark.parametrize(("sig", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_streams_watchers_and_jobs(
    bundle_path: Path, late_clip: Path, sig: signal.Signals, status: int
) -> None:
    with serving(bundle_path) as server:
        with late_clip.open("rb") as clip:
            assert (
                httpx.post(f"{server.url}/v1/jobs", timeout=PATIENCE_SECONDS, files={"file": clip}).status_code == 202
            )
        closed: list[int] = []
        feed_began, feed_ended = threading.Event(), threading.Event()

        def stay() -> None:
            with connect(f"{server.ws_url}/v1/streams/one") as stream:
                stream.send('{"type": "start"}')
                try:
                    while True:
                        stream.recv()
                except ConnectionClosed as end:
                    closed.append(end.rcvd.code if end.rcvd else 0)

        def follow() -> None:
            with httpx.stream("GET", f"{server.url}/v1/feed", timeout=PATIENCE_SECONDS) as feed:
                for _ in feed.iter_lines():
                    feed_began.set()
            feed_ended.set()

        threads = [threading.Thread(target=stay), threading.Thread(target=follow)]
        for thread in threads:
            thread.start()
        while not httpx.get(f"{server.url}/v1/streams", timeout=PATIENCE_SECONDS).json()["streams"]:
            time.sleep(0.05)
        assert feed_began.wait(PATIENCE_SECONDS)
        # None of the clients goes by itself: the server ends although they stay.
        assert server.stop(sig) == status
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        assert closed
        assert closed[0] in (1001, 1012)
        assert feed_ended.is_set()


def test_limits_hold_on_the_wire(bundle_path: Path) -> None:
    with serving(bundle_path, "--max-body-mb", "1") as server:
        # Without a length, piece by piece: it is refused long before the end.
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE_SECONDS)
        connection.putrequest("POST", "/v1/jobs")
        connection.putheader("Content-Type", "multipart/form-data; boundary=b")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
        for piece in (head, *[b"x" * 65536] * 40):
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        # The body has not ended, the answer is there all the same.
        response = connection.getresponse()
        assert (response.status, "larger" in json.loads(response.read())["error"]) == (413, True)
        connection.close()
        # A message beyond the limit ends the connection, not the server.
        with connect(f"{server.ws_url}/v1/streams/one", max_size=None) as stream:
            with pytest.raises(ConnectionClosed) as closed:
                _ask(stream, b"x" * (MAX_CHUNK_BYTES + 1))
            # The end of the connection may overtake the words about it, as most of the message was never read.
            assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
        answers = send(f"{server.ws_url}/v1/streams/one", course_chunks(4), speed=100)
        assert any(answer["kind"] == "window" for answer in answers)


def test_a_sender_that_is_too_fast_has_to_wait(bundle_path: Path) -> None:
    """What was sent and not yet taken stays small: the socket stops taking instead of the server's memory growing."""
    with serving(bundle_path) as server, connect(f"{server.ws_url}/v1/streams/one", compression=None) as stream:
        rss_kib = _rss_kib(server.process.pid)
        for number in range(60):
            header = {"type": "video", "pts_seconds": number / 25, "format": "rgb24", "width": 2000, "height": 1500}
            stream.send(json.dumps(header).encode() + b"\n" + bytes(9_000_000))
        grown_mib = (_rss_kib(server.process.pid) - rss_kib) / 1024
        # 540 MB were sent.
        assert grown_mib < 200


def test_a_client_that_sends_and_never_reads_is_cut_off(bundle_path: Path) -> None:
    with serving(bundle_path, "--idle-seconds", "1") as server:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
        with connect(f"{server.ws_url}/v1/streams/one", sock=narrow, max_queue=1, ping_interval=None) as stream:

            def chatter() -> None:
                with contextlib.suppress(ConnectionClosed, OSError):
                    while True:
                        # Each answer says it again, so that the way back is soon full.
                        stream.send(json.dumps({"type": "start", "profile": "x" * 100_000}))

            sender = threading.Thread(target=chatter, daemon=True)
            sender.start()
            deadline = time.monotonic() + PATIENCE_SECONDS
            while (
                found := httpx.get(f"{server.url}/v1/streams", timeout=PATIENCE_SECONDS).json()["streams"]
            ) and found[0]["state"] == "live":
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert found[0]["error"] == "the sender does not read its answers"
            # Its connection is gone too, not only its stream.
            sender.join(PATIENCE_SECONDS)
            assert not sender.is_alive()
        assert server.stop() == 0


def _ask(stream: ClientConnection, message: bytes) -> str | bytes:
    stream.send(message)
    return stream.recv(timeout=PATIENCE_SECONDS)


def _rss_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("needs /proc")
    return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1])


def test_the_token_may_come_from_the_environment(bundle_path: Path) -> None:
    token = "from-the-environment"
    with serving(bundle_path, "--host", "0.0.0.0", environment={"CAVSYNC_TOKEN": token}) as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/v1/jobs", timeout=PATIENCE_SECONDS).status_code == 401
        assert (
            httpx.get(
                f"{url}/v1/jobs", timeout=PATIENCE_SECONDS, headers={"authorization": f"Bearer {token}"}
            ).status_code
            == 200
        )
        headers = {"authorization": f"Bearer {token}"}
        answers = send(
            f"{url.replace('http', 'ws')}/v1/streams/one", course_chunks(4), speed=100, additional_headers=headers
        )
        assert answers[-1] == {"kind": "ended"}
