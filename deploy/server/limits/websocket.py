"""uvicorn's WebSocket, plus disconnecting clients that never read."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LINGER_SECONDS = 5.0
"""How long after the end of its stream a client may take to read what was sent."""


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket that reads on only after a message was consumed, so a sender that is too fast has to wait."""

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Abort the connection some time after the application ends: closing alone waits for ever for a slow reader."""
        super().on_task_complete(task)
        self.loop.call_later(LINGER_SECONDS, self._abort_if_stuck)

    def _abort_if_stuck(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
