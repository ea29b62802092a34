"""Limits of the bodies that clients send: how slowly, for how long, and how many one client at a time."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cavsync.deploy.server.refusals import RefusalError
from cavsync.deploy.server.settings import ServerSettings

IPV6_NETWORK_BITS = 64
"""A client with IPv6 commonly has this many bits of addresses to itself."""


class BodyLimits:
    """ASGI middleware that limits the bodies of requests.

    A body that arrives too slowly or for too long is refused with 408, so that it cannot hold a place in the queue of
    jobs. Bodies beyond the number allowed to one client are not read until an earlier one of that client has ended.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings
        self._places: dict[str, tuple[asyncio.Semaphore, int]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        async with AsyncExitStack() as place:
            await place.enter_async_context(self._place(client_of(scope)))
            body = _TimedBody(receive, self._settings, place)

            async def send_after_body(message: Message) -> None:
                # What has not been read by now is not wanted any more.
                await body.end()
                await send(message)

            await self._app(scope, body.receive, send_after_body)

    @asynccontextmanager
    async def _place(self, client: str) -> AsyncIterator[None]:
        """Wait until fewer than `max_client_uploads` bodies of the client arrive; the block is one of them."""
        semaphore, num_users = self._places.get(client, (asyncio.Semaphore(self._settings.max_client_uploads), 0))
        self._places[client] = (semaphore, num_users + 1)
        try:
            async with semaphore:
                yield
        finally:
            semaphore, num_users = self._places.pop(client)
            if num_users > 1:
                self._places[client] = (semaphore, num_users - 1)


class _TimedBody:
    """One body. Only the time in which the server waits for the client counts, in windows one after the other."""

    def __init__(self, receive: Receive, settings: ServerSettings, place: AsyncExitStack) -> None:
        self._receive = receive
        self._settings = settings
        self._place = place
        self._is_over = False
        self._waited_seconds = 0.0
        self._window_seconds = 0.0
        self._window_bytes = 0

    async def receive(self) -> Message:
        """Return the next message; RefusalError (408) where the client is too slow."""
        if self._is_over:
            return await self._receive()
        loop = asyncio.get_running_loop()
        while True:
            begin = loop.time()
            try:
                async with asyncio.timeout(self._settings.slow_upload_seconds - self._window_seconds):
                    message: Message | None = await self._receive()
            except TimeoutError:
                message = None
            self._count(loop.time() - begin, message)
            if message is not None:
                if message["type"] != "http.request" or not message.get("more_body", False):
                    await self.end()
                return message

    async def end(self) -> None:
        """Count no longer, and give the place of the body to the next one of this client."""
        self._is_over = True
        await self._place.aclose()

    def _count(self, seconds: float, message: Message | None) -> None:
        settings = self._settings
        self._waited_seconds += seconds
        self._window_seconds += seconds
        self._window_bytes += len((message or {}).get("body", b""))
        if self._waited_seconds > settings.max_duration_seconds:
            raise RefusalError(
                408, f"the body did not arrive within {settings.max_duration_seconds:g} s: send a smaller file"
            )
        if self._window_seconds < settings.slow_upload_seconds:
            return
        if self._window_bytes < settings.slow_upload_seconds * settings.min_upload_bytes_per_second:
            raise RefusalError(
                408,
                f"{self._window_bytes} bytes of the body arrived in {self._window_seconds:.0f} s, expected "
                f"{settings.min_upload_bytes_per_second} per second: send it over a faster connection",
            )
        self._window_seconds, self._window_bytes = 0.0, 0


def client_of(scope: Scope) -> str:
    """Return what identifies the client of a request: its address, of IPv6 the network."""
    host = (scope.get("client") or ("", 0))[0]
    return network_of(host)


def network_of(host: str) -> str:
    """Return an address, of IPv6 without the part that the client chooses itself."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(address), IPV6_NETWORK_BITS), strict=False))
    return host


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip(b"0") != b""
