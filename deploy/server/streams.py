"""The live streams of a server by name: a bounded number, forgotten once they have been silent for long enough."""

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
    """Open a stream to report its decisions; list all of them. All methods may be called from any thread."""

    def __init__(self, settings: ServerSettings, metrics: SyncMetrics) -> None:
        self.feed = Feed()
        self.metrics = metrics
        self._settings = settings
        self._lock = threading.Lock()
        self._streams: dict[str, LiveStream] = {}

    def open(self, name: str, source: str = PUSHED) -> LiveStream:
        """A new stream, or the one of this name whose connection was lost or has ended.

        Raises:
            RefusalError: a name that cannot be, one that is in use, or too many streams.
        """
        if not STREAM_NAME.fullmatch(name):
            raise RefusalError(400, f"a stream cannot be called {name!r:.80}: use 1 to 64 of A-Z a-z 0-9 . _ -")
        with self._lock:
            found = self._streams.get(name)
            if found is not None and found.state == LIVE:
                raise RefusalError(409, f"the stream {name} is being sent already: choose another name")
            if found is None or found.source != source:
                if found is None and len(self._streams) >= self._settings.max_streams:
                    self._make_room()
                found = self._streams[name] = LiveStream(name, source, self.feed.publish)
            found.state = LIVE
            found.hear()
            return found

    def list(self) -> list[dict[str, Any]]:
        """Status of every stream in the order of their names."""
        with self._lock:
            streams = sorted(self._streams.values(), key=lambda stream: stream.name)
        return [stream.status() for stream in streams]

    def get(self, name: str) -> LiveStream:
        """The stream of this name; RefusalError if there is none."""
        with self._lock:
            found = self._streams.get(name)
        if found is None:
            raise RefusalError(404, f"there is no stream {name!r:.80}: see /v1/streams")
        return found

    def forget(self, name: str) -> None:
        """Remove a stream that is over."""
        with self._lock:
            found = self._streams.pop(name, None)
        if found is not None:
            self.metrics.forget(name)
            self.feed.publish({"type": "gone", "name": name})

    def sweep(self) -> None:
        """Forget streams that are over and have been silent for long enough."""
        with self._lock:
            old = [
                name
                for name, stream in self._streams.items()
                if stream.state != LIVE and stream.silent_seconds > self._settings.idle_seconds
            ]
        for name in old:
            self.forget(name)

    def _make_room(self) -> None:
        """Forget the stream that has been over for longest; RefusalError while all are live."""
        over = [stream for stream in self._streams.values() if stream.state != LIVE]
        if not over:
            raise RefusalError(
                503, f"{len(self._streams)} streams are live, no more are taken: end one, or raise --max-streams"
            )
        oldest = max(over, key=lambda stream: stream.silent_seconds)
        del self._streams[oldest.name]
        self.metrics.forget(oldest.name)
        self.feed.publish({"type": "gone", "name": oldest.name})
