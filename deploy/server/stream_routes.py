"""/v1/streams and /v1/feed: streams pushed over a WebSocket, the state of all streams, and the live page's feed."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response, WebSocket
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import Field
from starlette.websockets import WebSocketDisconnect

from cavsync.deploy.server.chunks import parse_object
from cavsync.deploy.server.feed import Message as FeedMessage
from cavsync.deploy.server.live_face import LiveFace
from cavsync.deploy.server.live_stream import ENDED, LIVE, LOST, LiveStream
from cavsync.deploy.server.pushed_stream import Message, PushedStream
from cavsync.deploy.server.refusals import RefusalError, refusal
from cavsync.deploy.server.score_options import ScoreOptions
from cavsync.deploy.server.services import Services, Shared, services_of
from cavsync.deploy.sinks.text import json_text
from cavsync.errors import BundleError, CavsyncError

Work = Callable[[], list[Message]]
NORMAL, GOING_AWAY, FAILED, IDLE = 1000, 1001, 1011, 4408
GOODBYE_SECONDS = 2.0
router = APIRouter(prefix="/v1", tags=["live"])


class WatchedUrl(ScoreOptions):
    """A live source: rtsp, srt, udp (MPEG-TS), http or https (also HLS)."""

    name: str
    url: str = Field(max_length=2000)


@router.get("/streams", summary="Every stream and its latest decision")
def list_streams(services: Shared) -> dict[str, Any]:
    """Return all streams, sorted by name."""
    return {"streams": services.streams.list()}


@router.post("/streams", status_code=201, summary="Watch a live source")
def watch(wanted: WatchedUrl, services: Shared) -> dict[str, Any]:
    """Open and score a live source; needs --allow-private-addresses, because the source may lead to any address."""
    options = wanted.resolved(services.bundle.manifest, services.settings.scoring)
    return services.watched.watch_asked(wanted.name, wanted.url, options).status()


@router.get("/streams/{name}", summary="A stream's recent decisions and events")
def show(name: str, services: Shared) -> dict[str, Any]:
    """Return one stream with its history."""
    return services.streams.get(name).past()


@router.get("/streams/{name}/face", summary="The face that a stream is judged on")
def show_face(name: str, services: Shared) -> dict[str, Any]:
    """Return a small picture of the face, and the opening of its mouth beside the sound over the last ten seconds.

    Pictures are made about once a second while somebody asks, none with --no-thumbnails.
    """
    return services.streams.get(name).face()


@router.delete("/streams/{name}", status_code=204, summary="Forget a stream")
def remove(name: str, services: Shared) -> Response:
    """Stop a watched stream and forget it; a pushed stream must have ended."""
    services.watched.stop(name)
    if services.streams.get(name).state == LIVE:
        raise RefusalError(409, f"the stream {name} is live: stop its sender first")
    services.streams.forget(name)
    return Response(status_code=204)


async def _place(services: Shared) -> AsyncIterator[asyncio.Queue[FeedMessage]]:
    """A place in the feed, taken before the response begins and given back after it ends."""
    with services.streams.feed.place() as queue:
        yield queue


@router.get("/feed", response_class=EventSourceResponse, summary="Decisions and events as server-sent events")
async def feed(
    services: Shared, queue: Annotated[asyncio.Queue[FeedMessage], Depends(_place)]
) -> AsyncIterator[ServerSentEvent]:
    """Send the state of all streams, then every change."""
    streams = services.streams
    messages = streams.feed.follow(queue, services.stopping, lambda: {"type": "streams", "streams": streams.list()})
    async with aclosing(messages):
        async for message in messages:
            yield message


@router.websocket("/streams/{name}")
async def push(socket: WebSocket, name: str) -> None:
    """Receive chunks (see `chunks`) and controls; answer with decisions, events and errors.

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
        # Whatever happened, the stream's name must become free.
        if stream.state == LIVE:
            stream.end(state, problem)


class _UnreadError(Exception):
    """The client does not read its answers."""


class StreamSocket:
    """One WebSocket: read a message, score it in the stream's own thread, answer, and only then read the next.

    So no queue grows: a sender that is too fast waits at its socket. The thread stays the same because the engine pool
    distinguishes streams by thread.
    """

    def __init__(self, socket: WebSocket, stream: LiveStream, services: Services) -> None:
        self._socket = socket
        self._stream = stream
        self._services = services
        self._pushed: PushedStream | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"stream-{stream.name}")

    async def run(self) -> tuple[str, str | None]:
        """Serve until one side ends the connection; return the stream's final state and the reason, if any."""
        stopped: asyncio.Task[Any] = asyncio.create_task(self._services.stopping.wait())
        try:
            while True:
                message = await self._next(stopped)
                if message is None:
                    code = GOING_AWAY if stopped.done() else IDLE
                    reason = "the server is stopping" if stopped.done() else "nothing arrived for too long"
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
            return LOST, "the server is stopping" if stopped.done() else "the sender does not read its answers"
        finally:
            stopped.cancel()
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _next(self, stopped: asyncio.Task[Any]) -> dict[str, Any] | None:
        """Return the next message; None if the server stops or nothing arrives within `idle_seconds`."""
        arrived: asyncio.Task[Any] = asyncio.create_task(self._socket.receive())
        timeout = self._services.settings.idle_seconds
        try:
            await asyncio.wait({arrived, stopped}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not arrived.done() or stopped.done():
                return None
        finally:
            arrived.cancel()
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
                raise RefusalError(
                    409, "the stream has already started: send start before the first chunk, or connect again"
                )
            return functools.partial(self._start, control)
        if kind in ("reset", "flush") and not control:
            return self._scoring().reset if kind == "reset" else self._scoring().flush
        raise RefusalError(400, f"the control is {text!r:.80}: send type start, reset or flush")

    def _start(self, wanted: dict[str, Any]) -> list[Message]:
        return [self._open(wanted).hello()]

    def _scoring(self) -> PushedStream:
        return self._pushed or self._open({})

    def _open(self, wanted: dict[str, Any]) -> PushedStream:
        services = self._services
        asked = ScoreOptions.parsed(wanted)
        if any(getattr(asked, name) is not None for name in ("audio_stream", "video_stream", "program", "all_audio")):
            raise RefusalError(400, "a pushed stream has no tracks to choose from: push those that are to be scored")
        options = asked.resolved(services.bundle.manifest, services.settings.scoring)
        face = LiveFace(has_pictures=services.settings.thumbnails)
        self._pushed = PushedStream(services.pool.bundle, self._stream, options, face)
        return self._pushed

    async def _send(self, messages: list[Message], stopped: asyncio.Task[Any]) -> None:
        for message in messages:
            await self._sent(self._socket.send_text(json_text(message)), stopped)

    async def _sent(self, sending: Coroutine[Any, Any, None], stopped: asyncio.Task[Any]) -> None:
        """Wait until the client has received it, for `idle_seconds` at most, or briefly once the server stops."""
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
