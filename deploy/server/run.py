"""Serve until SIGTERM or Ctrl-C, then end all jobs and streams and remove their temporary files."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

import uvicorn
from fastapi import FastAPI

from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.server.app import create_app
from cavsync.deploy.server.limits.http import bounded_http
from cavsync.deploy.server.limits.websocket import BoundedWebSocket
from cavsync.deploy.server.settings import MAX_CHUNK_BYTES, ServerSettings
from cavsync.errors import ConfigError

GRACE_SECONDS = 10


class _Server(uvicorn.Server):
    """uvicorn's server, which also tells long-lived tasks to stop; uvicorn alone would wait for them."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        if sig == signal.SIGINT:
            super().handle_exit(sig, frame)
        else:
            # SIGTERM is a normal shutdown with status 0, so uvicorn must not raise it again.
            self.should_exit = True


def run_server(bundle: Bundle, settings: ServerSettings, on_listening: Callable[[str], None]) -> None:
    """Listen, call `on_listening` with the page's address, and serve until SIGTERM.

    Raises:
        ConfigError: the server cannot listen on the address.
        KeyboardInterrupt: after Ctrl-C, when everything has ended.
    """
    listener = _listener(settings)
    with listener:
        app = create_app(bundle, settings)
        on_listening(replace(settings, port=listener.getsockname()[1]).url)
        _Server(server_config(app, settings), app.state.services.stopping).run(sockets=[listener])


def server_config(app: FastAPI, settings: ServerSettings) -> uvicorn.Config:
    """Return how uvicorn serves the application, with the limits that only a connection can have."""
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        http=bounded_http(settings),
        ws=BoundedWebSocket,
        ws_max_size=MAX_CHUNK_BYTES,
        # A compressed message may unpack to far more than the size limit.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _listener(settings: ServerSettings) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot listen on {settings.host} port {settings.port} ({reason}): choose another --host or --port"
        ) from None
