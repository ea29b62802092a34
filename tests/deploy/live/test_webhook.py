"""The webhook against servers that work, fail, are slow, or are not there: scoring never waits for them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from waiting import PATIENCE_SECONDS, wait_until

from cavsync.deploy.live import WebhookSink
from cavsync.deploy.live.backoff import Backoff
from cavsync.deploy.verdict.events import EventChange
from cavsync.deploy.verdict.records import AUDIO_LATE, SyncScore
from cavsync.errors import ConfigError

LATE = SyncScore(2.0, 2.0, -300.0, 5.0, -300.0, 0.9, 0.9, AUDIO_LATE, "custom", False, is_measured=True)


def event(number: int) -> EventChange:
    return EventChange("began", AUDIO_LATE, float(number), None, -300.0)


@contextmanager
def server(answer: Callable[[int], int]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that answers its n-th request with the status `answer(n)`; gives its address and all bodies."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            bodies.append(body)
            self.send_response(answer(len(bodies)))
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/hook?token=secret", bodies
        http.shutdown()
        thread.join()


def quick() -> Backoff:
    return Backoff(0.01, 0.02)


def test_events_arrive_in_order_and_decisions_if_asked_for() -> None:
    with server(lambda _: 204) as (url, bodies):
        for decisions in (False, True):
            sink = WebhookSink(url, decisions=decisions)
            sink.on_decision("cam", LATE)
            sink.on_event("cam", event(1))
            sink.on_event("cam", event(2))
            sink.close()
            assert (sink.num_sent, sink.num_lost) == (2 + decisions, 0)
    kinds = [(body["kind"], body.get("start")) for body in bodies]
    assert kinds == [("event", 1.0), ("event", 2.0), ("window", None), ("event", 1.0), ("event", 2.0)]
    assert bodies[2]["audio_offset_ms"] == -300.0


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_failing_server_is_asked_again(status: int) -> None:
    with server(lambda number: status if number < 3 else 200) as (url, bodies):
        sink = WebhookSink(url, backoff=quick())
        sink.on_event("cam", event(1))
        sink.close()
    assert len(bodies) == 3
    assert (sink.num_sent, sink.num_lost) == (1, 0)


@pytest.mark.parametrize("status", [400, 404, 302])
def test_a_refusal_is_final_and_said_without_the_secret(status: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), server(lambda _: status) as (url, bodies):
        sink = WebhookSink(url, backoff=quick())
        sink.on_event("cam", event(1))
        sink.close()
    assert len(bodies) == 1
    assert (sink.num_sent, sink.num_lost) == (0, 1)
    assert f"the server answers {status}" in caplog.text
    assert "secret" not in caplog.text


def test_tries_are_bounded() -> None:
    with server(lambda _: 500) as (url, bodies):
        sink = WebhookSink(url, max_tries=4, backoff=quick())
        sink.on_event("cam", event(1))
        sink.on_event("cam", event(2))
        sink.close()
    assert [body["start"] for body in bodies] == [1.0] * 4 + [2.0] * 4
    assert sink.num_lost == 2


def test_a_slow_server_holds_nobody_up() -> None:
    """It never answers within the test: calls return at once, closing waits as long as it was told, all is counted."""
    release = threading.Event()

    def never(number: int) -> int:
        release.wait(PATIENCE_SECONDS)
        return 200

    with server(never) as (url, _):
        sink = WebhookSink(url, capacity=10, timeout_seconds=0.5, max_tries=100, close_seconds=0.2)
        for number in range(50):
            sink.on_event("cam", event(number))
        sink.close()
        # Neither waited for the answer, which comes only now.
        release.set()
    wait_until(lambda: sink.num_sent + sink.num_lost >= 50)
    assert sink.num_sent + sink.num_lost == 50
    assert sink.num_lost >= 49


def test_the_oldest_are_lost_first() -> None:
    gate = threading.Event()
    with server(lambda _: 200 if gate.wait(PATIENCE_SECONDS) else 500) as (url, bodies):
        sink = WebhookSink(url, capacity=3)
        sink.on_event("cam", event(0))
        wait_until(lambda: bodies)
        for number in range(1, 8):
            sink.on_event("cam", event(number))
        gate.set()
        sink.close()
    assert [body["start"] for body in bodies] == [0.0, 5.0, 6.0, 7.0]
    assert (sink.num_sent, sink.num_lost) == (4, 4)


def test_nobody_there(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        sink = WebhookSink("http://127.0.0.1:9/", max_tries=2, backoff=quick())
        sink.on_event("cam", replace(event(1)))
        sink.close()
    assert sink.num_lost == 1
    assert "refused" in caplog.text


@pytest.mark.parametrize("url", ["ftp://host/", "host/hook", "http://", "file:///etc/passwd"])
def test_only_http(url: str) -> None:
    with pytest.raises(ConfigError, match="http://"):
        WebhookSink(url)
