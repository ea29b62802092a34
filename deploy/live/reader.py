"""The thread that reads a source, reconnects when it breaks, and queues its packets with stream times."""

from __future__ import annotations

import threading
import time
from fractions import Fraction

import av
from av.stream import Stream

from cavsync.deploy.live.address import Address
from cavsync.deploy.live.backoff import Backoff
from cavsync.deploy.live.clock import SenderClock
from cavsync.deploy.live.connection import Connection, DisconnectedError
from cavsync.deploy.live.packet_queue import NOTICE, VIDEO, End, Notice, PacketQueue, QueueItem, Stretch, Waiting
from cavsync.errors import MediaError
from cavsync.media.tracks import PLAYED, TrackChoice

HEALTHY_SECONDS = 10.0
READER_THREAD = "cavsync reader"
"""How the names of reading threads begin."""
"""A connection that lasted this long counts as a success, so the back-off restarts."""

FINAL_REASONS = ("no_video", "no_audio", "unsupported", "missing", "empty")
"""Reasons for which a failed first connection is not retried, because waiting would not help."""


class Reader:
    """Reader of `address` in its own thread until the source ends, fails for good, or is stopped.

    Args:
        address: the source.
        queue: receives the packets, and the notices `Stretch`, `Waiting` and `End`.
        reconnect: reconnect to a live source that broke or ended; has no effect for files and pipes.
        max_tries: consecutive failures after which to give up; None for never.
        backoff: waits between tries.
        tracks: the tracks to read.
    """

    def __init__(
        self,
        address: Address,
        queue: PacketQueue,
        *,
        reconnect: bool,
        max_tries: int | None,
        backoff: Backoff,
        tracks: TrackChoice = PLAYED,
    ) -> None:
        self._address = address
        self._tracks = tracks
        self._queue = queue
        self._reconnect = reconnect and address.is_live
        self._max_tries = max_tries
        self._backoff = backoff
        self._clock = SenderClock()
        self._stopped = threading.Event()
        self._connection: Connection | None = None
        self._last_packet_time = time.monotonic()
        self._num_connections = 0
        self._damaged_before = 0
        self._thread = threading.Thread(target=self._run, name=f"{READER_THREAD} {address.shown}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, wait_seconds: float) -> None:
        """Stop, waiting at most `wait_seconds`; a thread blocked in FFmpeg ends by itself at its time-out."""
        self._stopped.set()
        self._queue.close()
        if self._thread.ident is not None:
            self._thread.join(wait_seconds)

    @property
    def edge_seconds(self) -> float:
        """Latest stream time that has arrived, the live edge."""
        return self._clock.edge_seconds

    @property
    def damaged_packets(self) -> int:
        """Number of packets that the container marks as damaged, over all connections."""
        connection = self._connection
        return self._damaged_before + (connection.damaged_packets if connection is not None else 0)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            while not self._stopped.is_set():
                why = self._connect_and_read()
                if why is None or self._stopped.is_set():
                    break
                seconds = self._backoff.next_seconds()
                self._notify(Waiting(why, seconds))
                self._stopped.wait(seconds)
        except BaseException as failure:  # noqa: BLE001 - raised again in the consuming thread
            error = failure
        finally:
            self._notify(End(error))
            self._queue.close()

    def _connect_and_read(self) -> str | None:
        """Return why the connection failed or broke, None where the source ended; raises an error that is final."""
        begin = time.monotonic()
        try:
            connection = self._connection = Connection(self._address, self._stopped, self._tracks)
            self._num_connections += 1
            try:
                self._read(connection)
            finally:
                self._damaged_before += connection.damaged_packets
                self._connection = None
                connection.close()
            if connection.is_over or not self._reconnect:
                return None
            raise DisconnectedError("the sender ended the stream")
        except MediaError as error:
            if isinstance(error, DisconnectedError) and time.monotonic() - begin >= HEALTHY_SECONDS:
                self._backoff.reset()
            is_first = self._num_connections == 0 or error.reason == "unsupported"
            is_hopeless = is_first and error.reason in FINAL_REASONS
            is_last_try = self._max_tries is not None and self._backoff.tries + 1 >= self._max_tries
            if is_hopeless or is_last_try or not self._reconnect:
                raise self._final(error) from None
            return str(error)

    def _final(self, error: MediaError) -> MediaError:
        if not isinstance(error, DisconnectedError):
            return error
        shown = self._address.shown
        if not self._address.is_live:
            return MediaError(f"{shown} breaks off ({error}): give a complete file", reason="truncated")
        return MediaError(
            f"{shown} was lost ({error}): start the sender again, or watch with reconnection", reason="truncated"
        )

    def _read(self, connection: Connection) -> None:
        is_reconnection = self._num_connections > 1
        self._clock.restart(time.monotonic() - self._last_packet_time)
        stretch = self._clock.stretch
        why = "; ".join([*(["connected again"] if is_reconnection else []), *connection.notes])
        self._notify(Stretch(connection.codecs, connection.info, why, is_reconnection))
        for kind, packet in connection.packets():
            if self._stopped.is_set():
                return
            self._last_packet_time = time.monotonic()
            time_seconds = self._place(connection, kind, packet)
            if self._clock.stretch != stretch:
                stretch = self._clock.stretch
                self._notify(Stretch(connection.codecs, connection.info, "the sender's clock jumped"))
            if time_seconds is not None:
                is_key = kind == VIDEO and bool(packet.is_keyframe)
                self._queue.put(QueueItem(kind, time_seconds, is_key, packet))

    def _place(self, connection: Connection, kind: str, packet: av.Packet[Stream]) -> float | None:
        """Shift the packet's times to stream time and return its decoding time; None where it must be dropped."""
        ticks = packet.pts if packet.dts is None else packet.dts
        if ticks is None:
            # A packet without any timestamp is placed at the live edge.
            return max(0.0, self._clock.edge_seconds)
        seconds = Fraction(ticks) * packet.time_base
        correction = self._clock.correction(kind, seconds, connection.start_seconds, wraps=connection.wraps)
        if correction is None:
            return None
        shift = round(correction / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + shift
        packet.dts = None if packet.dts is None else packet.dts + shift
        return float(seconds + correction)

    def _notify(self, payload: Notice) -> None:
        self._queue.put(QueueItem(NOTICE, 0.0, False, payload))
