"""Packets of one stretch -> frames and audio; what does not decode is counted and passed over."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import av
import av.error

from cavsync.media import AudioChunk, MediaInfo, VideoFrame
from cavsync.media.align import SAMPLE_RATE_HZ
from cavsync.media.decode import FrameConverter

log = logging.getLogger(__name__)


class PacketDecoder:
    """Decode the packets between two breaks of the clock.

    `codecs` are PyAV's codec contexts by kind. After `finish` they are as new, so the next stretch may use them.
    """

    def __init__(self, codecs: dict[str, Any], info: MediaInfo) -> None:
        self._codecs = codecs
        self._converter = FrameConverter(info.frame_rate_hz, SAMPLE_RATE_HZ)
        self._time_bases: dict[str, Any] = {}
        self._timed: set[str] = set()
        self.damaged_packets = 0

    def decode(self, kind: str, packet: Any) -> Iterator[VideoFrame | AudioChunk]:
        """Whatever this packet completes."""
        self._time_bases[kind] = packet.time_base
        for frame in self._frames(kind, packet):
            yield from self._converter.convert(frame)

    def finish(self) -> Iterator[VideoFrame | AudioChunk]:
        """What the decoders and the resampling filter still hold."""
        for kind, time_base in self._time_bases.items():
            last = av.Packet()
            last.time_base = time_base
            for frame in self._frames(kind, last):
                yield from self._converter.convert(frame)
            self._codecs[kind].flush_buffers()
        yield from self._converter.flush()

    def _frames(self, kind: str, packet: Any) -> Iterator[Any]:
        try:
            frames = self._codecs[kind].decode(packet)
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            self.damaged_packets += 1
            log.debug("damaged %s packet: %s", kind, error)
            return
        for frame in frames:
            # The first frame of an RTSP session may come without a time: it can be decoded, but not placed.
            if frame.pts is not None:
                self._timed.add(kind)
            if kind in self._timed:
                yield frame
