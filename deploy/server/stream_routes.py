"""/v1/streams: live streams that come over a WebSocket, what is known of them, and the feed of the live page."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Response, WebSocket
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import Field, ValidationError
from starlette.websockets import WebSocketDisconnect

from cavsync.deploy.server.chunks import parse_object
from cavsync.deploy.server.feed import Message as FeedMessage
from cavsync.deploy.server.live_stream import ENDED, LIVE, LOST, LiveStream
from cavsync.deploy.server.pushed_stream import Message, PushedStream
from cavsync.deploy.server.refusals import RefusalError, refusal
from cavsync.deploy.server.score_options import ScoreOptions
from cavsync.deploy.server.services import Services, Shared, services_of
from cavsync.errors import BundleError, CavsyncError

Work = Callable[[], list[Message]]
NORMAL, GOING_AWAY, FAILED, IDLE = 1000, 1001, 1011, 4408
GOODBYE_SECONDS = 2.0


class WatchedUrl(ScoreOptions):
    """A live source: rtsp, srt, udp (MPEG-TS), http or https (also HLS)."""

    name: str
    url: str = Field(max_length=2000)


def add_stream_routes(app: FastAPI) -> None:
    """Routes under /v1/streams, and /v1/feed."""
    router = APIRouter(prefix="/v1", tags=["live"])
    router.add_api_route("/streams", list_streams, methods=["GET"], summary="Every stream and its latest decision")
    router.add_api_route("/streams", watch, methods=["POST"], status_code=201, summary="Watch a live source")
    router.add_api_route("/streams/{name}", show, methods=["GET"], summary="A stream's recent decisions and events")
    router.add_api_route("/streams/{name}", remove, methods=["DELETE"], status_code=204, summary="Forget a stream")
    router.add_api_route(
        "/feed",
        feed,
        methods=["GET"],
        response_class=EventSourceResponse,
        summary="Decisions and events as server-sent events",
    )
    router.add_api_websocket_route("/streams/{name}", push)
    app.include_router(router)


def list_streams(services: Shared) -> dict[str, Any]:
    """Streams in the order of their names."""
    return {"streams": services.streams.list()}


def watch(wanted: WatchedUrl, services: Shared) -> dict[str, Any]:
    """Open a live source and score it; only with --allow-private-addresses, as it may lead anywhere."""
    options = wanted.resolved(services.bundle, services.settings.scoring)
    return services.watched.watch_asked(wanted.name, wanted.url, options).status()


def show(name: str, services: Shared) -> dict[str, Any]:
    """One stream with its past."""
    return services.streams.get(name).past()


def remove(name: str, services: Shared) -> Response:
    """End a stream that the server watches, and forget it; one that is sent must be over."""
    services.watched.stop(name)
    if services.streams.get(name).state == LIVE:
        raise RefusalError(409, f"the stream {name} is live: end it at its sender")
    services.streams.forget(name)
    return Response(status_code=204)


async def _place(services: Shared) -> AsyncIterator[asyncio.Queue[FeedMessage]]:
    """A place in the feed, taken before the response begins and given back after it ends."""
    with services.streams.feed.place() as queue:
        yield queue


async def feed(
    services: Shared, queue: Annotated[asyncio.Queue[FeedMessage], Depends(_place)]
) -> AsyncIterator[ServerSentEvent]:
    """The state of all streams first, then what changes."""
    streams = services.streams
    messages = streams.feed.follow(queue, services.stopping, lambda: {"type": "streams", "streams": streams.list()})
    async with aclosing(messages):
        async for message in messages:
            yield message


async def push(socket: WebSocket, name: str) -> None:
    """Take chunks (see `chunks`) and controls, answer with decisions, events and errors.

    Text messages are controls: `{"type": "start", ...options}` before the first chunk, `{"type": "reset"}`,
    `{"type": "flush"}`.
    """
    services = services_of(socket)
    try:
        stream = services.streams.open(name)
    except RefusalError as error:
        await socket.send_denial_response(refusal(error.status, str(error)))
        return
    state, problem = LOST, None
    try:
        await socket.accept()
        state, problem = await StreamSocket(socket, stream, services).run()
    except WebSocketDisconnect:
        pass
    finally:
        # The stream's name must become free whatever happened.
        if stream.state == LIVE:
            stream.end(state, problem)


class _UnreadError(Exception):
    """The client takes no answers."""


class StreamSocket:
    """One WebSocket: reads a message, computes in a thread of its own, answers, and only then reads the next.

    So nothing piles up: a sender that is too fast waits at its socket. The thread stays the same because the pool of
    engines tells streams apart by their threads.
    """

    def __init__(self, socket: WebSocket, stream: LiveStream, services: Services) -> None:
        self._socket = socket
        self._stream = stream
        self._services = services
        self._pushed: PushedStream | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"stream-{stream.name}")

    async def run(self) -> tuple[str, str | None]:
        """Serve until one side ends it; returns the state to leave the stream in, and the reason if there is one."""
        stopped: asyncio.Task[Any] = asyncio.create_task(self._services.stopping.wait())
        try:
            while True:
                message = await self._next(stopped)
                if message is None:
                    code = GOING_AWAY if stopped.done() else IDLE
                    reason = "the server ends" if stopped.done() else "nothing came for too long"
                    await self._send([{"kind": "error", "error": f"{reason}: connect again"}], stopped)
                    await self._sent(self._socket.close(code, reason), stopped)
                    return LOST, reason
                self._stream.hear()
                try:
                    answers = await self._answers(message)
                except BundleError as error:
                    await self._sent(self._socket.close(FAILED, "the model failed"), stopped)
                    return LOST, str(error)
                await self._send(answers, stopped)
                if answers and answers[-1]["kind"] == "ended":
                    await self._sent(self._socket.close(NORMAL), stopped)
                    return ENDED, None
        except _UnreadError:
            return LOST, "the server ends" if stopped.done() else "the sender reads no answers"
        finally:
            stopped.cancel()
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _next(self, stopped: asyncio.Task[Any]) -> dict[str, Any] | None:
        """The next message; None if the server stops or nothing comes for too long."""
        arrived: asyncio.Task[Any] = asyncio.create_task(self._socket.receive())
        timeout = self._services.settings.idle_seconds
        await asyncio.wait({arrived, stopped}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not arrived.done() or stopped.done():
            arrived.cancel()
            return None
        message: dict[str, Any] = dict(arrived.result())
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", NORMAL))
        return message

    async def _answers(self, message: dict[str, Any]) -> list[Message]:
        try:
            if message.get("bytes") is not None:
                work: Work = functools.partial(self._scoring().push, message["bytes"])
            else:
                work = self._control(message.get("text") or "")
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except BundleError:
            raise
        except CavsyncError as error:
            return [{"kind": "error", "error": str(error)}]

    def _control(self, text: str) -> Work:
        control = parse_object(text)
        kind = control.pop("type", None)
        if kind == "start":
            if self._pushed is not None:
                raise RefusalError(409, "the stream has begun: send start before the first chunk, or connect again")
            return functools.partial(self._start, control)
        if kind in ("reset", "flush") and not control:
            return self._scoring().reset if kind == "reset" else self._scoring().flush
        raise RefusalError(400, f"the control is {text!r:.80}: send type start, reset or flush")

    def _start(self, wanted: dict[str, Any]) -> list[Message]:
        try:
            options = ScoreOptions.model_validate(wanted)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise RefusalError(400, f"{place}: {first['msg']}: see ScoreOptions in /openapi.json") from None
        return [self._open(options).hello()]

    def _scoring(self) -> PushedStream:
        return self._pushed or self._open(ScoreOptions.model_construct())

    def _open(self, options: ScoreOptions) -> PushedStream:
        services = self._services
        resolved = options.resolved(services.bundle, services.settings.scoring)
        self._pushed = PushedStream(services.pool.bundle, self._stream, services.streams.metrics, resolved)
        return self._pushed

    async def _send(self, messages: list[Message], stopped: asyncio.Task[Any]) -> None:
        for message in messages:
            await self._sent(self._socket.send_text(_text(message)), stopped)

    async def _sent(self, sending: Coroutine[Any, Any, None], stopped: asyncio.Task[Any]) -> None:
        """Wait until the client took it: not for ever, and only a moment once the server ends."""
        task = asyncio.create_task(sending)
        try:
            timeout = self._services.settings.idle_seconds
            await asyncio.wait({task, stopped}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({task}, timeout=GOODBYE_SECONDS)
            if not task.done():
                raise _UnreadError
            task.result()
        finally:
            task.cancel()


def _text(message: Message) -> str:
    return json.dumps(message, allow_nan=False, ensure_ascii=False)
