"""The live page's feed of decisions and events: one bounded queue per page, so that a slow one is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi.sse import ServerSentEvent

from cavsync.deploy.server.refusals import RefusalError
from cavsync.deploy.server.settings import MAX_WATCHERS
from cavsync.deploy.sinks.text import json_text

QUEUED_MESSAGES = 256
RECONNECT_MS = 1000

Message = dict[str, Any]


class Feed:
    """`publish` from any thread; `place` and `follow` in the event loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queues: set[asyncio.Queue[Message]] = set()

    def publish(self, message: Message) -> None:
        """Send a message to every page that watches."""
        if self._queues and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._spread, message)

    @contextmanager
    def place(self) -> Iterator[asyncio.Queue[Message]]:
        """A page's queue, which holds everything that is published inside the block.

        Raises:
            RefusalError: MAX_WATCHERS pages watch already.
        """
        if len(self._queues) >= MAX_WATCHERS:
            raise RefusalError(503, f"{len(self._queues)} pages watch, no more are served: close one")
        self._loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Message] = asyncio.Queue(QUEUED_MESSAGES)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    async def follow(
        self, queue: asyncio.Queue[Message], stopping: asyncio.Event, snapshot: Callable[[], Message]
    ) -> AsyncGenerator[ServerSentEvent, None]:
        """Yield `snapshot`, then what the queue of a place holds, until the server stops or the page is dropped."""
        stopped = asyncio.ensure_future(stopping.wait())
        arrived: asyncio.Future[Message] | None = None
        try:
            yield _event(snapshot(), RECONNECT_MS)
            while queue in self._queues and not stopped.done():
                arrived = asyncio.ensure_future(queue.get())
                await asyncio.wait({arrived, stopped}, return_when="FIRST_COMPLETED")
                if arrived.done():
                    yield _event(arrived.result())
        finally:
            stopped.cancel()
            if arrived is not None:
                arrived.cancel()

    def _spread(self, message: Message) -> None:
        for queue in list(self._queues):
            try:
                queue.put_nowait(message)
            except asyncio.QueueFull:
                # The page reads too slowly. Its browser connects again and gets the present state.
                self._queues.discard(queue)


def _event(message: Message, retry_ms: int | None = None) -> ServerSentEvent:
    return ServerSentEvent(raw_data=json_text(message), retry=retry_ms)
