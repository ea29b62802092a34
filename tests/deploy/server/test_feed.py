"""The feed of the live page: nothing falls between the snapshot and what follows it, and places are counted."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from fastapi.sse import ServerSentEvent
from serving import Client

from cavsync.deploy.server.feed import QUEUED_MESSAGES, Feed
from cavsync.deploy.server.refusals import RefusalError
from cavsync.deploy.server.settings import MAX_WATCHERS


def content(event: ServerSentEvent) -> dict[str, Any]:
    assert event.raw_data is not None
    found: dict[str, Any] = json.loads(event.raw_data)
    return found


def test_what_is_published_with_the_snapshot_follows_it() -> None:
    feed = Feed()

    def snapshot() -> dict[str, Any]:
        feed.publish({"type": "decision"})
        return {"type": "streams"}

    async def read() -> list[ServerSentEvent]:
        with feed.place() as queue:
            messages = feed.follow(queue, asyncio.Event(), snapshot)
            return [await anext(messages) for _ in range(2)]

    first, second = asyncio.run(read())
    assert (content(first), first.retry) == ({"type": "streams"}, 1000)
    assert (content(second), second.retry) == ({"type": "decision"}, None)


def test_a_place_is_taken_before_anything_is_read_and_given_back() -> None:
    feed = Feed()

    async def fill() -> None:
        with contextlib.ExitStack() as others:
            with feed.place():
                for _ in range(MAX_WATCHERS - 1):
                    others.enter_context(feed.place())
                with pytest.raises(RefusalError, match="no more are served"), feed.place():
                    pass
            with feed.place():
                pass

    asyncio.run(fill())


def test_a_slow_page_is_dropped_and_others_go_on() -> None:
    """After as many unread messages as a queue holds: it ends after the one that it was sending."""
    feed = Feed()

    async def read() -> tuple[list[int], list[int]]:
        with feed.place() as slow, feed.place() as fast:
            slow_messages, fast_messages = (feed.follow(queue, asyncio.Event(), dict) for queue in (slow, fast))
            seen = []
            await anext(slow_messages)
            await anext(fast_messages)
            for number in range(QUEUED_MESSAGES + 1):
                feed.publish({"number": number})
                seen.append(content(await anext(fast_messages))["number"])
            return [content(message)["number"] async for message in slow_messages], seen

    slow, fast = asyncio.run(read())
    assert slow == []
    assert fast == list(range(QUEUED_MESSAGES + 1))


def test_the_end_of_the_server_ends_it() -> None:
    """Also while nothing is published."""
    feed = Feed()

    async def read() -> list[ServerSentEvent]:
        stopping = asyncio.Event()
        with feed.place() as queue:
            messages = feed.follow(queue, stopping, dict)
            first = await anext(messages)
            asyncio.get_running_loop().call_soon(stopping.set)
            return [first, *[message async for message in messages]]

    assert len(asyncio.run(read())) == 1


def test_on_the_wire(client: Client) -> None:
    """One request as uvicorn passes it: the snapshot as an event, and the place given back when the page goes."""
    app, sent = client.app, []
    scope = {
        **{"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET"},
        **{"scheme": "http", "path": "/v1/feed", "raw_path": b"/v1/feed", "query_string": b"", "root_path": ""},
        **{"headers": [(b"host", b"127.0.0.1:8000")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000)},
    }

    async def follow() -> None:
        began = asyncio.Event()

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)
            if message.get("body"):
                began.set()

        async def receive() -> dict[str, Any]:
            await began.wait()
            assert len(app.state.services.streams.feed._queues) == 1
            return {"type": "http.disconnect"}

        await app(scope, receive, send)

    asyncio.run(follow())
    assert not app.state.services.streams.feed._queues
    headers = dict(sent[0]["headers"])
    assert (sent[0]["status"], headers[b"content-type"].partition(b";")[0]) == (200, b"text/event-stream")
    assert headers[b"x-accel-buffering"] == b"no"
    assert sent[1]["body"] == b'data: {"type": "streams", "streams": []}\nretry: 1000\n\n'


def test_a_page_too_many_is_told_why(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cavsync.deploy.server.feed.MAX_WATCHERS", 0)
    response = client.get("/v1/feed")
    assert (response.status_code, response.json()) == (503, {"error": "0 pages watch, no more are served: close one"})
