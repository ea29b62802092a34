"""One connection to a source: its container or containers, the two tracks, and their packets until it breaks."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import zip_longest
from typing import Any

import av
import av.error

from cavsync.deploy.live.address import Address, Input
from cavsync.deploy.live.relay import Relay
from cavsync.errors import MediaError
from cavsync.media.container import MediaInfo, describe, open_file, pick_track

KINDS = ("video", "audio")
WRAPPING_FORMATS = ("mpegts", "hls")
MAX_DAMAGED_IN_A_ROW = 50
# The tracks of a recording need not end together, nor where it declares.
END_TOLERANCE_SECONDS = 2.0
JOIN_SECONDS = 2.0


class DisconnectedError(MediaError):
    """A connection that existed is over; the message is only why."""


class Connection:
    """An open source. `packets` gives `(kind, av.Packet)`; `close` releases everything.

    `codecs` are the decoders by kind: they outlive the connection, so packets may be decoded after it. Once `stopped`
    is set, reading ends soon where the protocol allows it, with the time-out elsewhere.

    Raises:
        MediaError: it cannot be opened (with a reason of `MediaError`, or `unsupported`), or lacks video or audio.
    """

    def __init__(self, address: Address, stopped: threading.Event) -> None:
        self._address = address
        self._stopped = stopped
        self._containers: list[Any] = []
        self._relay: Relay | None = None
        # One per container where there are several, each in the place of its container.
        self._readers: list[threading.Thread] = []
        self._last_seconds: float | None = None
        self.damaged_packets = 0
        try:
            for part in address.inputs:
                self._containers.append(self._open(part))
            self._tracks = {kind: pick_track(self._containers, kind, address.shown) for kind in KINDS}
        except BaseException:
            self.close()
            raise
        self._ignore_the_rest()
        self._tracks["video"].thread_type = "SLICE" if address.is_live else "AUTO"
        self.codecs = {kind: track.codec_context for kind, track in self._tracks.items()}
        self.info: MediaInfo = describe(self._containers[0], self._tracks["video"], self._tracks["audio"])
        self.wraps = self.info.container in WRAPPING_FORMATS
        starts = [container.start_time for container in self._containers]
        known = [Fraction(start, av.time_base) for start in starts if start is not None]
        self.start_seconds = min(known, default=None)

    @property
    def is_over(self) -> bool:
        """Whether the end of the packets is the end of the source: of a file, a pipe, or a recording played through."""
        if not self._address.is_live:
            return True
        declared = self.info.duration_seconds
        if declared is None or self._last_seconds is None:
            return False
        played = self._last_seconds - float(self.start_seconds or 0)
        return played >= declared - END_TOLERANCE_SECONDS

    def packets(self) -> Iterator[tuple[str, Any]]:
        """Packets of both tracks in the order of arrival, until the source ends.

        Raises:
            DisconnectedError: the connection broke, or nothing came for too long.
        """
        if len(self._containers) == 1:
            yield from self._packets_of(self._containers[0])
        else:
            yield from _merged([self._packets_of(container) for container in self._containers], self._readers)
        if self._relay is not None:
            raise DisconnectedError(self._relay.why)

    def close(self) -> None:
        """Release the source. Safe to call twice."""
        for container, reader in zip_longest(self._containers, self._readers):
            # A device that FFmpeg still waits for is released with its thread: closing it under way would crash.
            if reader is None or not reader.is_alive():
                container.close()
        if self._relay is not None:
            self._relay.close()
            self._relay = None

    def _ignore_the_rest(self) -> None:
        """Tell the demuxer what is not wanted: HLS would otherwise load every variant."""
        wanted = {(id(track.container), track.index) for track in self._tracks.values()}
        for container in self._containers:
            for track in container.streams:
                # PyAV before 17 cannot say it, and only costs more there.
                if (id(container), track.index) not in wanted and hasattr(track, "discard"):
                    track.discard = av.stream.Discard.all

    def _packets_of(self, container: Any) -> Iterator[tuple[str, Any]]:
        wanted = [track for track in self._tracks.values() if track.container is container]
        in_a_row = 0
        while True:
            try:
                for packet in container.demux(*wanted):
                    in_a_row = 0
                    if packet.size:
                        self.damaged_packets += bool(packet.is_corrupt)
                        if packet.dts is not None:
                            self._last_seconds = float(packet.dts * packet.time_base)
                        yield packet.stream.type, packet
                return
            except av.error.InvalidDataError:
                self.damaged_packets += 1
                in_a_row += 1
                if in_a_row > MAX_DAMAGED_IN_A_ROW:
                    raise DisconnectedError("its packets can no longer be told apart") from None
            except (av.error.FFmpegError, OSError) as error:
                raise DisconnectedError(self._why(error, self._address.read_seconds)) from None

    def _open(self, part: Input) -> Any:
        if self._address.kind == "file":
            return open_file(part.url)
        try:
            return self._open_live(part)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            why = self._relay.why if self._relay is not None and self._relay.why else ""
            raise MediaError(
                f"{self._address.shown} cannot be opened ({why or self._why(error, self._address.open_seconds)}): "
                "check the address and that the sender is running",
                reason="unreadable",
            ) from None

    def _open_live(self, part: Input) -> Any:
        timeout = (self._address.open_seconds, self._address.read_seconds)
        options: dict[str, Any] = {"options": dict(part.options), "metadata_errors": "replace"}
        try:
            return av.open(part.url, format=part.format, timeout=timeout, **options)
        except av.error.ProtocolNotFoundError:
            if self._address.kind != "srt":
                raise
        self._relay = Relay(
            part.url, self._address.open_seconds or 10.0, self._address.read_seconds or 5.0, self._stopped
        )
        return av.open(self._relay, format=part.format, **options)

    @staticmethod
    def _why(error: Exception, seconds: float | None) -> str:
        # FFmpeg's word for a call that our own time-out has interrupted.
        if isinstance(error, av.error.ExitError | TimeoutError) and seconds is not None:
            return f"nothing came for {seconds:g} s"
        return str(getattr(error, "strerror", None) or type(error).__name__)


def _merged(parts: list[Iterator[tuple[str, Any]]], threads: list[threading.Thread]) -> Iterator[tuple[str, Any]]:
    """Packets of several containers as they come, each read by its own thread; the first end is the end.

    The threads are added to `threads`. One that does not end within `JOIN_SECONDS` is left behind.
    """
    arrived: queue.Queue[tuple[str, Any] | Exception | None] = queue.Queue(maxsize=64)
    is_over = threading.Event()

    def pump(part: Iterator[tuple[str, Any]]) -> None:
        last: Exception | None = None
        try:
            for item in part:
                if is_over.is_set():
                    return
                arrived.put(item)
        except Exception as error:  # noqa: BLE001 - raised again by whoever takes the packets
            last = error
        arrived.put(last)

    threads += [threading.Thread(target=pump, args=(part,), daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    try:
        while (item := arrived.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        is_over.set()
        deadline = time.monotonic() + JOIN_SECONDS
        for thread in threads:
            while thread.is_alive() and time.monotonic() < deadline:
                # A thread that waits for room must be let go before its container may be closed.
                while not arrived.empty():
                    arrived.get_nowait()
                thread.join(0.05)
