"""uvicorn's WebSocket, except that nobody keeps a connection by reading nothing."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LINGER_SECONDS = 5.0
"""How long after its stream is over a client may take to read what was sent to it."""


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """It reads on only when a message was taken, so a sender that is too fast has to wait."""

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application has ended: closing waits until everything is sent, for ever if nobody reads it."""
        super().on_task_complete(task)
        self.loop.call_later(LINGER_SECONDS, self._abort_if_stuck)

    def _abort_if_stuck(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
