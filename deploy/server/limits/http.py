"""uvicorn's HTTP, plus closing connections that send no request, and a limit of them per client."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from cavsync.deploy.server.limits.bodies import network_of
from cavsync.deploy.server.refusals import refusal
from cavsync.deploy.server.settings import ServerSettings


class BoundedHTTP(H11Protocol):
    """An HTTP connection on which each request must have begun and its headers ended within `header_seconds`."""

    settings: ServerSettings
    _no_request: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, or refuse the connection where its client has too many."""
        super().connection_made(transport)
        self._expect_request()
        mine = network_of(self.client[0]) if self.client else ""
        # Of uvicorn's protocols, those that it can be configured to use here have a client.
        clients = [getattr(connection, "client", None) for connection in self.connections]
        num_open = sum(1 for client in clients if client is not None and network_of(client[0]) == mine)
        if num_open > self.settings.max_client_connections:
            answer = refusal(503, f"{num_open - 1} connections of {mine} are open, the most allowed: close some")
            head = b"".join(name + b": " + value + b"\r\n" for name, value in answer.raw_headers)
            transport.write(
                b"HTTP/1.1 503 Service Unavailable\r\n" + head + b"connection: close\r\n\r\n" + bytes(answer.body)
            )
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting for a request."""
        self._stop_expecting()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Handle what has arrived; nothing more is waited for once it holds a request."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_expecting()

    def handle_websocket_upgrade(self, event: object) -> None:
        """Leave the connection to the WebSocket, which has time limits of its own."""
        self._stop_expecting()
        super().handle_websocket_upgrade(event)  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        """Wait for the next request; a client that keeps sending a refused body must come to an end, too."""
        self._expect_request()
        super().on_response_complete()

    def _expect_request(self) -> None:
        self._stop_expecting()
        self._no_request = self.loop.call_later(self.settings.header_seconds, self.transport.abort)

    def _stop_expecting(self) -> None:
        if self._no_request is not None:
            self._no_request.cancel()
            self._no_request = None


def bounded_http(settings: ServerSettings) -> type[BoundedHTTP]:
    """Return the class of connections with these limits, as uvicorn wants it."""
    return type("BoundedHTTP", (BoundedHTTP,), {"settings": settings})
