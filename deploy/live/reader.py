"""The thread that reads a source, connects again when it breaks, and puts packets of one stream time into a queue."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from cavsync.deploy.live.address import Address
from cavsync.deploy.live.backoff import Backoff
from cavsync.deploy.live.clock import SenderClock
from cavsync.deploy.live.connection import Connection, DisconnectedError
from cavsync.deploy.live.packet_queue import NOTICE, VIDEO, PacketQueue, QueueItem
from cavsync.errors import MediaError
from cavsync.media.container import MediaInfo

HEALTHY_SECONDS = 10.0
"""A connection that gave packets for this long has worked: the next failure is a first one."""

POINTLESS = ("no_video", "no_audio", "unsupported", "missing", "empty")
"""Reasons for which a first connection is not tried again: waiting would not help."""


@dataclass(frozen=True)
class Stretch:
    """What follows lies on one unbroken clock and is decoded by `codecs`; `why` says what ended the stretch before."""

    codecs: dict[str, Any]
    info: MediaInfo
    why: str
    is_reconnection: bool = False


@dataclass(frozen=True)
class Waiting:
    """The connection is lost, or was not had; the next try comes in `seconds`."""

    why: str
    seconds: float


@dataclass(frozen=True)
class End:
    """Nothing more will come; `error` is None where the source simply ended or was stopped."""

    error: BaseException | None


class Reader:
    """Reads `address` in a thread of its own until it ends, fails for good, or is stopped.

    Args:
        address: what to read.
        queue: takes packets as `QueueItem`, and `Stretch`, `Waiting`, `End` as the payload of notices.
        reconnect: whether to connect again; a file or a pipe never is.
        max_tries: how many tries in a row may fail; None means any number.
        backoff: the waits between tries.
    """

    def __init__(
        self, address: Address, queue: PacketQueue, *, reconnect: bool, max_tries: int | None, backoff: Backoff
    ) -> None:
        self._address = address
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
        self._thread = threading.Thread(target=self._run, name=f"cavsync reader {address.shown}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, wait_seconds: float) -> None:
        """End, waiting at most so long: a thread that FFmpeg holds ends with its own time-out, and harms nobody."""
        self._stopped.set()
        self._queue.close()
        if self._thread.ident is not None:
            self._thread.join(wait_seconds)

    @property
    def edge_seconds(self) -> float:
        """The live edge: the latest stream time that has arrived."""
        return self._clock.edge_seconds

    @property
    def damaged_packets(self) -> int:
        """Packets that the container marks as damaged, over all connections."""
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
        except BaseException as failure:  # noqa: BLE001 - raised again by the thread that takes the packets
            error = failure
        finally:
            self._notify(End(error))
            self._queue.close()

    def _connect_and_read(self) -> str | None:
        """Why the connection was not had or broke; None where the source has ended. Raises what is final."""
        begin = time.monotonic()
        try:
            connection = self._connect()
            try:
                self._read(connection)
            finally:
                self._disconnect(connection)
            if connection.is_over or not self._reconnect:
                return None
            raise DisconnectedError("the sender ended the stream")
        except MediaError as error:
            is_first = self._num_connections == 0
            if isinstance(error, DisconnectedError) and time.monotonic() - begin >= HEALTHY_SECONDS:
                self._backoff.reset()
            is_pointless = is_first and error.reason in POINTLESS
            is_too_often = self._max_tries is not None and self._backoff.tries + 1 >= self._max_tries
            if is_pointless or is_too_often or not self._reconnect:
                raise self._final(error) from None
            return str(error)

    def _final(self, error: MediaError) -> MediaError:
        if not isinstance(error, DisconnectedError):
            return error
        return MediaError(
            f"{self._address.shown} was lost ({error}): start the sender again, or watch with reconnection",
            reason="truncated",
        )

    def _connect(self) -> Connection:
        connection = Connection(self._address, self._stopped)
        self._connection = connection
        self._num_connections += 1
        return connection

    def _disconnect(self, connection: Connection) -> None:
        self._damaged_before += connection.damaged_packets
        self._connection = None
        connection.close()

    def _read(self, connection: Connection) -> None:
        is_again = self._num_connections > 1
        self._clock.restart(time.monotonic() - self._last_packet_time)
        stretch = self._clock.stretch
        self._notify(Stretch(connection.codecs, connection.info, "connected again" if is_again else "", is_again))
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

    def _place(self, connection: Connection, kind: str, packet: Any) -> float | None:
        """Move a packet's times onto the stream; its stream time, or None where it is to be left out."""
        ticks = packet.pts if packet.dts is None else packet.dts
        if ticks is None:
            # No time of its own: it follows what came before it.
            return max(0.0, self._clock.edge_seconds)
        seconds = Fraction(ticks) * packet.time_base
        correction = self._clock.correction(kind, seconds, connection.start_seconds, wraps=connection.wraps)
        if correction is None:
            return None
        shift = round(correction / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + shift
        packet.dts = None if packet.dts is None else packet.dts + shift
        return float(seconds + correction)

    def _notify(self, payload: Stretch | Waiting | End) -> None:
        self._queue.put(QueueItem(NOTICE, 0.0, False, payload))
