"""One connection to a source: its containers, its video and audio track, and their packets until it ends or breaks."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import zip_longest

import av
import av.error
from av.container import InputContainer
from av.stream import Discard, Stream

from cavsync.deploy.live.address import Address, Input
from cavsync.deploy.live.decoder import Codecs
from cavsync.deploy.live.relay import Relay
from cavsync.errors import MediaError
from cavsync.media.container import MediaInfo, describe, index_remedy, open_file
from cavsync.media.frame_times import forbid_guesses
from cavsync.media.packets import late_streams_note, read_packets
from cavsync.media.track_ends import TrackEnds, require_end
from cavsync.media.tracks import PLAYED, TrackChoice, pick_tracks

log = logging.getLogger(__name__)

WRAPPING_FORMATS = ("mpegts", "hls")
MAX_DAMAGED_IN_A_ROW = 50
# The tracks of a recording may end apart from each other and from the declared end.
END_TOLERANCE_SECONDS = 2.0
JOIN_SECONDS = 2.0

TrackPacket = tuple[str, "av.Packet[Stream]"]
"""A packet with the kind of its track, "video" or "audio"."""


class DisconnectedError(MediaError):
    """An open connection broke; the message is only the reason, to be put into a sentence."""


class Connection:
    """An open source. `packets` iterates over the packets of both tracks; `close` releases everything.

    `codecs` are the decoders by kind; they outlive the connection, so that queued packets can be decoded after it has
    ended. Setting `stopped` ends reading at once where the protocol allows it, else at the time-out. `notes` are
    sentences about tracks that are not read.

    Raises:
        MediaError: the source cannot be opened (with a reason of `MediaError`, or `unsupported`), or lacks video or
            audio.
    """

    def __init__(self, address: Address, stopped: threading.Event, choice: TrackChoice = PLAYED) -> None:
        self._address = address
        self._stopped = stopped
        self._containers: list[InputContainer] = []
        self._relay: Relay | None = None
        # With several containers, the thread that reads each of them, in the same order.
        self._readers: list[threading.Thread] = []
        self._last_seconds: float | None = None
        self.damaged_packets = 0
        try:
            for part in address.inputs:
                self._containers.append(self._open(part))
            for container in self._containers:
                forbid_guesses(container)
            tracks = pick_tracks(self._containers, address.shown, choice)
        except BaseException:
            self.close()
            raise
        video, audio = tracks.video, tracks.audio[0]
        self._tracks = (video, audio)
        self.notes = tracks.notes()
        if address.is_live:
            # The others tell where a recording ends.
            self._discard_other_tracks()
        video.thread_type = "SLICE" if address.is_live else "AUTO"
        video.codec_context.copy_opaque = True
        self.codecs: Codecs = {"video": video.codec_context, "audio": audio.codec_context}
        self.info: MediaInfo = describe(self._containers[0], video, audio)
        self.wraps = self.info.container in WRAPPING_FORMATS
        starts = [container.start_time for container in self._containers]
        known = [Fraction(start, av.time_base) for start in starts if start is not None]
        self.start_seconds = min(known, default=None)

    @property
    def is_over(self) -> bool:
        """Whether the source has ended for good: a file, a pipe, or an address whose whole recording was played."""
        if not self._address.is_live:
            return True
        declared = self.info.duration_seconds
        if declared is None or self._last_seconds is None:
            return False
        played = self._last_seconds - float(self.start_seconds or 0)
        return played >= declared - END_TOLERANCE_SECONDS

    def packets(self) -> Iterator[TrackPacket]:
        """Iterate over the packets of both tracks in the order of arrival, until the source ends.

        Raises:
            DisconnectedError: the connection broke, or nothing arrived within the time-out.
            MediaError: a recording ends before the end that its header declares.
        """
        if len(self._containers) == 1:
            yield from self._packets_of(self._containers[0])
        else:
            yield from _merge([self._packets_of(container) for container in self._containers], self._readers)
        if self._relay is not None:
            raise DisconnectedError(self._relay.why)

    def close(self) -> None:
        """Close the containers and the relay. Safe to call twice."""
        for container, reader in zip_longest(self._containers, self._readers):
            # Closing a container while its thread is inside FFmpeg would crash; a blocked thread keeps its container.
            if reader is None or not reader.is_alive():
                container.close()
        if self._relay is not None:
            self._relay.close()
            self._relay = None

    def _discard_other_tracks(self) -> None:
        """Make the demuxer skip all other tracks; with HLS this avoids loading every variant."""
        wanted = {(id(track.container), track.index) for track in self._tracks}
        for container in self._containers:
            for track in container.streams:
                if (id(container), track.index) not in wanted:
                    track.discard = Discard.all

    def _packets_of(self, container: InputContainer) -> Iterator[TrackPacket]:
        wanted: list[Stream] = [track for track in self._tracks if track.container is container]
        ends = TrackEnds(container)
        in_a_row = 0
        while True:
            try:
                for packet in read_packets(container):
                    in_a_row = 0
                    ends.add(packet)
                    if packet.size and packet.stream in wanted:
                        self.damaged_packets += bool(packet.is_corrupt)
                        if packet.dts is not None:
                            self._last_seconds = float(packet.dts * packet.time_base)
                        yield packet.stream.type, packet
                if note := late_streams_note(container):
                    log.warning("%s: %s not read", self._address.shown, note)
                if not self._address.is_live:
                    self._check_end(ends, wanted)
                return
            except av.error.InvalidDataError:
                self.damaged_packets += 1
                in_a_row += 1
                if in_a_row > MAX_DAMAGED_IN_A_ROW:
                    self._require_index(container)
                    raise DisconnectedError(f"{MAX_DAMAGED_IN_A_ROW} packets in a row are damaged") from None
            except (av.error.FFmpegError, OSError) as error:
                self._require_index(container)
                raise DisconnectedError(self._why(error, self._address.read_seconds)) from None

    def _check_end(self, ends: TrackEnds, tracks: list[Stream]) -> None:
        """Raise MediaError if a recording was cut off."""
        require_end(self._address.shown, ends.missing(tracks), "give a complete file")
        if doubt := ends.doubt():
            log.warning("%s: %s", self._address.shown, doubt)

    def _require_index(self, container: InputContainer) -> None:
        """Raise MediaError if nothing was read because the index of an MP4 or MOV cannot be used."""
        remedy = index_remedy(container, self._address.inputs[0].url)
        if self._last_seconds is None and remedy is not None:
            raise MediaError(f"{self._address.shown} gives no packet: {remedy}", reason="unsupported")

    def _open(self, part: Input) -> InputContainer:
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

    def _open_live(self, part: Input) -> InputContainer:
        timeout = (self._address.open_seconds, self._address.read_seconds)
        options = dict(part.options)
        try:
            return av.open(part.url, format=part.format, timeout=timeout, options=options, metadata_errors="replace")
        except av.error.ProtocolNotFoundError:
            if self._address.kind != "srt":
                raise
        self._relay = Relay(
            part.url, self._address.open_seconds or 10.0, self._address.read_seconds or 5.0, self._stopped
        )
        return av.open(self._relay, "r", format=part.format, options=options, metadata_errors="replace")

    @staticmethod
    def _why(error: Exception, seconds: float | None) -> str:
        # FFmpeg reports a call that was interrupted by the time-out as ExitError.
        if isinstance(error, av.error.ExitError | TimeoutError) and seconds is not None:
            return f"nothing arrived for {seconds:g} s"
        return str(getattr(error, "strerror", None) or type(error).__name__)


def _merge(parts: list[Iterator[TrackPacket]], threads: list[threading.Thread]) -> Iterator[TrackPacket]:
    """Iterate over the packets of several containers as they arrive, until the first of them ends.

    A thread reads each container; they are appended to `threads`. A thread that does not end within `JOIN_SECONDS`
    after that is abandoned.
    """
    arrived: queue.Queue[TrackPacket | Exception | None] = queue.Queue(maxsize=64)
    is_over = threading.Event()

    def pump(part: Iterator[TrackPacket]) -> None:
        last: Exception | None = None
        try:
            for item in part:
                if is_over.is_set():
                    return
                arrived.put(item)
        except Exception as error:  # noqa: BLE001 - raised again in the consuming thread
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
                # Empty the queue: a thread blocked in `put` must end before its container is closed.
                while not arrived.empty():
                    arrived.get_nowait()
                thread.join(0.05)
