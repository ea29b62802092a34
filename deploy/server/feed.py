"""What happens, told to every page that watches: server-sent events, the slow ones skipped rather than waited for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

from cavsync.deploy.server.refusals import RefusalError
from cavsync.deploy.server.settings import MAX_WATCHERS

QUEUED_MESSAGES = 256
KEEP_ALIVE_SECONDS = 10.0


class Feed:
    """`publish` from any thread; `follow` in the event loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queues: set[asyncio.Queue[str]] = set()

    def publish(self, message: dict[str, Any]) -> None:
        """Tell all who watch."""
        if self._queues and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._spread, _event(message))

    async def follow(
        self, stopping: asyncio.Event, snapshot: Callable[[], dict[str, Any]]
    ) -> AsyncGenerator[str, None]:
        """Server-sent events from now on, `snapshot` before all; ends when the server does, or when nobody reads.

        Raises:
            RefusalError: as many watch as allowed.
        """
        messages = self._messages(stopping, snapshot)
        # The place is taken here; a generator that was begun is also ended, and so gives it back.
        await anext(messages)
        return messages

    async def _messages(
        self, stopping: asyncio.Event, snapshot: Callable[[], dict[str, Any]]
    ) -> AsyncGenerator[str, None]:
        if len(self._queues) >= MAX_WATCHERS:
            raise RefusalError(503, f"{len(self._queues)} pages watch, no more are served: close one")
        self._loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str] = asyncio.Queue(QUEUED_MESSAGES)
        self._queues.add(queue)
        stopped = asyncio.ensure_future(stopping.wait())
        try:
            yield ""
            # Only now: what happens from here on is in the queue, what happened before in the snapshot.
            yield f"retry: 1000\n{_event(snapshot())}"
            while not stopped.done():
                arrived = asyncio.ensure_future(queue.get())
                await asyncio.wait({arrived, stopped}, timeout=KEEP_ALIVE_SECONDS, return_when="FIRST_COMPLETED")
                if arrived.done():
                    yield arrived.result()
                else:
                    arrived.cancel()
                    yield ": still here\n\n"
                if queue not in self._queues:
                    return
        finally:
            stopped.cancel()
            self._queues.discard(queue)

    def _spread(self, text: str) -> None:
        for queue in list(self._queues):
            try:
                queue.put_nowait(text)
            except asyncio.QueueFull:
                # It reads too slowly. Its browser connects again and gets the present state.
                self._queues.discard(queue)


def _event(message: dict[str, Any]) -> str:
    return f"data: {json.dumps(message, allow_nan=False, ensure_ascii=False)}\n\n"
