"""The live streams of a server by name: a bounded number, each forgotten after it has been silent too long."""

from __future__ import annotations

import threading
from typing import Any

from cavsync.deploy.metrics import SyncMetrics
from cavsync.deploy.server.feed import Feed
from cavsync.deploy.server.live_stream import LIVE, LiveStream
from cavsync.deploy.server.refusals import RefusalError
from cavsync.deploy.server.settings import STREAM_NAME, ServerSettings

PUSHED = "pushed"


class StreamRegistry:
    """Open, list and forget streams. All methods may be called from any thread."""

    def __init__(self, settings: ServerSettings, metrics: SyncMetrics) -> None:
        self.feed = Feed()
        self._metrics = metrics
        self._settings = settings
        self._lock = threading.RLock()
        self._streams: dict[str, LiveStream] = {}

    def open(self, name: str, source: str = PUSHED) -> LiveStream:
        """Return a new stream, or the existing one of this name if its connection was lost or has ended.

        Raises:
            RefusalError: the name is invalid or in use, or there are too many streams.
        """
        if not STREAM_NAME.fullmatch(name):
            raise RefusalError(400, f"{name!r:.80} is not a valid stream name: use 1 to 64 of A-Z a-z 0-9 . _ -")
        with self._lock:
            found = self._streams.get(name)
            if found is not None and found.state == LIVE:
                raise RefusalError(409, f"the stream {name} is already live: choose another name")
            if found is None or found.source != source:
                if found is None and len(self._streams) >= self._settings.max_streams:
                    self._make_room()
                found = self._streams[name] = LiveStream(name, source, self._metrics, self.feed.publish)
            found.state = LIVE
            found.hear()
            return found

    def list(self) -> list[dict[str, Any]]:
        """Return the status of every stream, sorted by name."""
        with self._lock:
            streams = sorted(self._streams.values(), key=lambda stream: stream.name)
        return [stream.status() for stream in streams]

    def get(self, name: str) -> LiveStream:
        """Return the stream of this name; RefusalError if it does not exist."""
        with self._lock:
            found = self._streams.get(name)
        if found is None:
            raise RefusalError(404, f"there is no stream {name!r:.80}: see /v1/streams")
        return found

    def forget(self, name: str) -> None:
        """Remove a stream that has ended."""
        with self._lock:
            found = self._streams.pop(name, None)
        if found is not None:
            self._metrics.forget(name)
            self.feed.publish({"type": "gone", "name": name})

    def sweep(self) -> None:
        """Forget ended streams that have been silent for longer than `idle_seconds`."""
        with self._lock:
            old = [
                name
                for name, stream in self._streams.items()
                if stream.state != LIVE and stream.silent_seconds > self._settings.idle_seconds
            ]
        for name in old:
            self.forget(name)

    def _make_room(self) -> None:
        """Forget the stream that ended first; RefusalError if all are live."""
        over = [stream for stream in self._streams.values() if stream.state != LIVE]
        if not over:
            raise RefusalError(
                503, f"{len(self._streams)} streams are live, the most allowed: end one, or raise --max-streams"
            )
        self.forget(max(over, key=lambda stream: stream.silent_seconds).name)
