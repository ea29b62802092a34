"""The feed of the live page: nothing falls between the snapshot and what follows it, and places are counted."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from cavsync.deploy.server.feed import Feed
from cavsync.deploy.server.refusals import RefusalError
from cavsync.deploy.server.settings import MAX_WATCHERS


def content(event: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event.partition("data: ")[2])
    return found


def test_what_happens_beside_the_snapshot_is_told_after_it() -> None:
    feed = Feed()

    def snapshot() -> dict[str, Any]:
        feed.publish({"type": "decision"})
        return {"type": "streams"}

    async def read() -> list[dict[str, Any]]:
        messages = await feed.follow(asyncio.Event(), snapshot)
        return [content(await asyncio.wait_for(anext(messages), 5)) for _ in range(2)]

    assert [message["type"] for message in asyncio.run(read())] == ["streams", "decision"]


def test_a_place_is_taken_before_anything_is_read_and_given_back() -> None:
    feed = Feed()

    async def fill() -> None:
        stopping = asyncio.Event()
        first, *others = [await feed.follow(stopping, dict) for _ in range(MAX_WATCHERS)]
        with pytest.raises(RefusalError, match="no more are served"):
            await feed.follow(stopping, dict)
        await first.aclose()
        await feed.follow(stopping, dict)
        assert len(others) == MAX_WATCHERS - 1

    asyncio.run(fill())
