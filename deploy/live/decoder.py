"""Decoding of the packets of one clock to frames and audio, skipping and counting damaged ones."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
from av.stream import Stream

from cavsync.media import AudioChunk, MediaInfo, VideoFrame
from cavsync.media.align import SAMPLE_RATE_HZ
from cavsync.media.decode import FrameConverter
from cavsync.media.frame_times import ReorderedTimes

log = logging.getLogger(__name__)

Codecs = dict[str, av.VideoCodecContext | av.AudioCodecContext]
"""Decoders by kind of track, "video" and "audio"."""


class PacketDecoder:
    """Decoder of the packets between two breaks of the sender's clock.

    `finish` resets `codecs`, so that the next stretch can use them.
    """

    def __init__(self, codecs: Codecs, info: MediaInfo) -> None:
        self._codecs = codecs
        self._converter = FrameConverter(info.frame_rate_hz, SAMPLE_RATE_HZ)
        self._times = ReorderedTimes()
        self._time_bases: dict[str, Fraction] = {}
        self._timed: set[str] = set()
        self.damaged_packets = 0

    def decode(self, kind: str, packet: av.Packet[Stream]) -> Iterator[VideoFrame | AudioChunk]:
        """Decode one packet; yields the frames and audio that it completes."""
        self._time_bases[kind] = packet.time_base
        if kind == "video":
            self._times.add(packet)
        try:
            frames = self._codecs[kind].decode(packet)
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            self.damaged_packets += 1
            log.debug("damaged %s packet: %s", kind, error)
            return
        for frame in frames:
            if isinstance(frame, av.VideoFrame):
                self._times.stamp(frame)
            # The first frames of an RTSP session may lack a timestamp; they cannot be placed, so they are skipped.
            if frame.pts is not None:
                self._timed.add(kind)
            if kind in self._timed:
                yield from self._converter.convert(frame)

    def finish(self) -> Iterator[VideoFrame | AudioChunk]:
        """Yield the frames and audio that the decoders and the resampling filter still hold."""
        for kind, time_base in self._time_bases.items():
            last = av.Packet()
            last.time_base = time_base
            yield from self.decode(kind, last)
            self._codecs[kind].flush_buffers()
        yield from self._converter.flush()
