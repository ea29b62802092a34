"""Live sources opened by the server: those of --watch, and those named by clients."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from cavsync.deploy.live import LiveSink, Watcher, parse_address
from cavsync.deploy.live.status import CONNECTED, WAITING, LiveStatus
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.server.live_face import LiveFace
from cavsync.deploy.server.live_stream import ENDED, LOST, LiveStream
from cavsync.deploy.server.refusals import FAILED, RefusalError
from cavsync.deploy.server.settings import ServerSettings
from cavsync.deploy.server.streams import StreamRegistry
from cavsync.deploy.stream.options import ScoringOptions
from cavsync.deploy.verdict.records import SyncScore
from cavsync.errors import CavsyncError

log = logging.getLogger(__name__)

REMOTE_KINDS = ("rtsp", "srt", "udp", "http", "hls")
# Excludes `file`, so that no playlist or redirection can read local files.
PROTOCOLS = {"protocol_whitelist": "rtsp,rtp,rtcp,srt,udp,http,https,tcp,tls,crypto,data"}
JOIN_SECONDS = 5.0


class WatchedStreams:
    """Start and stop watchers, one thread each; decisions are reported to the registry's streams."""

    def __init__(self, bundle: Bundle, settings: ServerSettings, streams: StreamRegistry) -> None:
        self._bundle = bundle
        self._settings = settings
        self._streams = streams
        self._lock = threading.Lock()
        self._running: dict[str, tuple[Watcher, threading.Thread]] = {}

    def watch_asked(self, name: str, url: str, options: ScoringOptions) -> LiveStream:
        """Watch an address given by a client.

        FFmpeg opens it and follows its references, so the addresses behind it cannot be checked beforehand.

        Raises:
            RefusalError: not a network address, or private addresses are not allowed.
            ConfigError: the address cannot be watched.
        """
        if not self._settings.allow_private_addresses:
            raise RefusalError(
                403,
                "a live address may lead to internal ones: start the server with --watch NAME=URL, or with "
                "--allow-private-addresses",
            )
        if parse_address(url).kind not in REMOTE_KINDS:
            raise RefusalError(
                403, "only rtsp, srt, udp, http and https addresses can be watched: upload files instead"
            )
        return self.watch(name, url, options, PROTOCOLS)

    def watch(
        self, name: str, url: str, options: ScoringOptions, ffmpeg_options: Mapping[str, str] | None = None
    ) -> LiveStream:
        """Watch `url` as the stream `name` until `stop`, or until it ends for good.

        Raises:
            ConfigError: the address or an option is unusable.
            RefusalError: the name is in use, or there are too many streams.
        """
        face = LiveFace(has_pictures=self._settings.thumbnails)
        watcher = Watcher(
            url, self._bundle, options, ffmpeg_options=ffmpeg_options, on_faces=face.see, on_face_row=face.add
        )
        stream = self._streams.open(name, watcher.source)
        watcher.add_sink(_StreamSink(stream, watcher))
        stream.begin(options.limits, face)
        thread = threading.Thread(target=self._run, args=(stream, watcher), name=f"watch-{name}", daemon=True)
        with self._lock:
            self._running[name] = watcher, thread
        thread.start()
        return stream

    def stop(self, name: str) -> bool:
        """End a watched stream; return whether one existed."""
        with self._lock:
            found = self._running.pop(name, None)
        if found is None:
            return False
        found[0].stop()
        found[1].join(JOIN_SECONDS)
        return True

    def close(self) -> None:
        """End all watched streams."""
        with self._lock:
            running = dict(self._running)
        for watcher, _ in running.values():
            watcher.stop()
        for name in running:
            self.stop(name)

    def _run(self, stream: LiveStream, watcher: Watcher) -> None:
        state, error = LOST, FAILED
        try:
            watcher.run()
            state, error = ENDED, ""
        except CavsyncError as failure:
            error = str(failure)
        finally:
            if error == FAILED:
                log.error("watching %s failed", stream.name, exc_info=True)
            stream.end(state, error or None)
            with self._lock:
                if self._running.get(stream.name, (None,))[0] is watcher:
                    del self._running[stream.name]


class _StreamSink(LiveSink):
    """A sink that reports to a stream of the registry, which tracks its events itself."""

    def __init__(self, stream: LiveStream, watcher: Watcher) -> None:
        self._stream = stream
        self._watcher = watcher

    def on_decision(self, source: str, score: SyncScore) -> None:
        del source
        self._stream.decide(score, delay_seconds=self._watcher.lag_seconds)
        self._stream.hear()

    def on_status(self, source: str, status: LiveStatus) -> None:
        del source
        if status.phase == WAITING:
            self._stream.note_problem(status.message)
        elif status.phase == CONNECTED:
            self._stream.begin_stretch()
            self._stream.hear()
