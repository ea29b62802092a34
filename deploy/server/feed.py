"""What happens, told to every page that watches: server-sent events, the slow ones skipped rather than waited for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from cavsync.deploy.server.refusals import RefusalError
from cavsync.deploy.server.settings import MAX_WATCHERS

QUEUED_MESSAGES = 256
KEEP_ALIVE_SECONDS = 10.0


class Feed:
    """`publish` from any thread; `messages` in the event loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queues: set[asyncio.Queue[str]] = set()

    def publish(self, message: dict[str, Any]) -> None:
        """Tell all who watch."""
        if self._queues and self._loop is not None and not self._loop.is_closed():
            text = f"data: {json.dumps(message, allow_nan=False, ensure_ascii=False)}\n\n"
            self._loop.call_soon_threadsafe(self._spread, text)

    async def messages(self, stopping: asyncio.Event, first: dict[str, Any]) -> AsyncIterator[str]:
        """Server-sent events from now on, `first` before all; ends when the server does, or when nobody reads."""
        self._loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str] = asyncio.Queue(QUEUED_MESSAGES)
        self._queues.add(queue)
        stopped = asyncio.ensure_future(stopping.wait())
        try:
            yield f"retry: 1000\ndata: {json.dumps(first, allow_nan=False, ensure_ascii=False)}\n\n"
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

    def check_room(self) -> None:
        """RefusalError while as many watch as allowed."""
        if len(self._queues) >= MAX_WATCHERS:
            raise RefusalError(503, f"{len(self._queues)} pages watch, no more are served: close one")

    def _spread(self, text: str) -> None:
        for queue in list(self._queues):
            try:
                queue.put_nowait(text)
            except asyncio.QueueFull:
                # It reads too slowly. Its browser connects again and gets the present state.
                self._queues.discard(queue)
