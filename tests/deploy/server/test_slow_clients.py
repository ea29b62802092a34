"""Clients that send slowly, send nothing, come in numbers or leave: others are served, and the log stays short."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from server_process import serving
from serving import Client
from waiting import PATIENCE_SECONDS, wait_until
from websockets.sync.client import connect

from cavsync.deploy import Bundle
from cavsync.deploy.server.app import create_app
from cavsync.deploy.server.limits.bodies import network_of
from cavsync.deploy.server.run import server_config
from cavsync.deploy.server.settings import ServerSettings

HEAD = (
    b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 1000000\r\n\r\n"
)
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'


@contextlib.contextmanager
def short_of_patience(bundle: Bundle, **settings: Any) -> Iterator[str]:
    """A server in this process that waits for half a second where the real one waits for ten; yields its address."""
    options = ServerSettings(**{"header_seconds": 0.5, "slow_upload_seconds": 0.5, **settings})
    server = uvicorn.Server(server_config(create_app(bundle, options), options))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def connections(url: str, count: int) -> Iterator[list[socket.socket]]:
    host, port = url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS))
            for _ in range(count)
        ]


def received(connection: socket.socket) -> bytes:
    """Everything until the server closes the connection."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            found += piece
    return found


def test_slow_uploads_take_no_places_from_others(bundle: Bundle, late_clip: Path) -> None:
    """Twice as many as there are places for jobs, all of one client; another one comes from another address."""
    with short_of_patience(bundle, max_jobs=4, slow_upload_seconds=3.0) as url, connections(url, 8) as slow:
        for connection in slow:
            connection.sendall(HEAD + PART)
        with late_clip.open("rb") as clip:
            headers = {"X-Forwarded-For": "192.0.2.1"}
            answer = httpx.post(f"{url}/v1/jobs", timeout=PATIENCE_SECONDS, files={"file": clip}, headers=headers)
        assert answer.status_code == 202
        # A byte now and then is not enough: all of them are told so, also those that had to wait.
        for connection in slow:
            connection.sendall(b"x")
        for connection in slow:
            status, _, body = received(connection).partition(b"\r\n\r\n")
            assert b" 408 " in status
            assert "expected 4096 per second" in json.loads(body)["error"]


def test_an_upload_may_not_take_for_ever(bundle: Bundle) -> None:
    settings = {"max_duration_seconds": 1.0, "min_upload_bytes_per_second": 1}
    with short_of_patience(bundle, **settings) as url, connections(url, 1) as (connection,):
        connection.sendall(HEAD + PART)
        while not select.select([connection], [], [], 0.05)[0]:
            connection.sendall(b"x")
        assert b"did not arrive within 1 s" in received(connection)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ", b"GET /v1/jobs HTTP/1.1\r\n"])
def test_headers_that_do_not_come_end_the_connection(bundle: Bundle, sent: bytes) -> None:
    with short_of_patience(bundle) as url, connections(url, 3) as silent:
        for connection in silent:
            connection.sendall(sent)
        assert [received(connection) for connection in silent] == [b""] * 3


def test_a_refused_body_that_goes_on_ends_too(bundle: Bundle) -> None:
    def send_for_ever(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"x")
            time.sleep(0.1)

    with short_of_patience(bundle) as url, connections(url, 1) as (connection,):
        connection.sendall(HEAD.replace(b"/v1/jobs", b"/v1/nothing"))
        with pytest.raises(ConnectionError):
            send_for_ever(connection)


def test_connections_of_one_client(bundle: Bundle) -> None:
    with short_of_patience(bundle, max_client_connections=3, header_seconds=60.0) as url:
        with connections(url, 3), connections(url, 1) as (fourth,):
            answer = received(fourth)
            assert b"503 Service Unavailable" in answer
            assert b"3 connections of 127.0.0.1 are open, the most allowed" in answer

        def is_served() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"{url}/v2/health/live").status_code == 200
            return False

        # Those have gone, and there is room again.
        wait_until(is_served)


def test_clients_are_told_apart_by_network() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::2:0:0:1") != network_of("2001:db8:0:1::1")
    assert network_of("192.0.2.1") != network_of("192.0.2.2")
    assert network_of("::ffff:192.0.2.1") != network_of("::ffff:192.0.2.2")


def test_bodies_that_come_at_last(make_client: Callable[..., Client], late_clip: Path) -> None:
    """Waiting bodies of a client are read one after the other, and an upload may take its time as a whole."""
    client = make_client(max_client_uploads=1, slow_upload_seconds=0.2, min_upload_bytes_per_second=10)

    def pieces() -> Iterator[bytes]:
        yield PART
        content = late_clip.read_bytes() + b"\r\n--b--\r\n"
        for begin in range(0, len(content), 1 + len(content) // 10):
            time.sleep(0.05)
            yield content[begin : begin + 1 + len(content) // 10]

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for _ in range(3):
        answer = client.post("/v1/jobs", content=pieces(), headers=headers)
        assert answer.status_code == 202, answer.text
        assert client.finished(answer.headers["location"])["state"] == "done"


def test_clients_that_leave_are_no_errors(bundle_path: Path) -> None:
    with serving(bundle_path) as server:
        for sent in (HEAD, HEAD + PART, HEAD + PART + 100_000 * b"x", HEAD.replace(b"jobs", b"streams")):
            with connections(server.url, 3) as leaving:
                for connection in leaving:
                    connection.sendall(sent)
                time.sleep(0.1)
        with connections(server.url, 3) as leaving:
            for connection in leaving:
                connection.sendall(b"GET /v1/feed HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert connection.recv(10)
        for number in range(3):
            with connect(f"{server.ws_url}/v1/streams/{number}") as stream:
                stream.send('{"type": "start"}')
                stream.socket.close()
        with connect(f"{server.ws_url}/v1/streams/last") as stream:
            stream.send('{"type": "start"}')
            stream.recv()
            assert server.stop() == 0
        assert server.process.stderr is not None
        assert server.process.stderr.read() == ""
