"""Presentation times of the packets of a video whose container holds decoding times only, found by decoding it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import cast

import av
import av.error
from av.container import InputContainer
from av.stream import Stream

from cavsync.deploy.repair.input_packets import input_packets
from cavsync.deploy.repair.whole_input import open_again
from cavsync.errors import MediaError
from cavsync.media.container import is_cover, reason_of
from cavsync.media.frame_times import ReorderedTimes
from cavsync.media.packets import read_packets

# The times of a stream are present or absent from its first packets on.
MAX_LOOKED_AT = 250

PacketTimes = list[tuple[int, int | None]]
"""Presentation and decoding time of each packet of a stream in file order, in units of its time base."""


def presentation_times(container: InputContainer) -> Mapping[int, PacketTimes]:
    """Return video index -> times, for the video streams that lack presentation times.

    Decoding times are moved ahead by the delay of the decoder, so that none exceeds its presentation time.

    Raises:
        MediaError: pictures do not decode, so that their order is unknown.
    """
    found = {}
    for stream in container.streams.video:
        if not is_cover(stream) and stream.codec_context is not None and _lacks_times(container, stream.index):
            found[stream.index] = _decoded_times(container, stream.index)
    return found


def _lacks_times(source: InputContainer, index: int) -> bool:
    with open_again(source) as container:
        packets = islice(input_packets(container, container.streams[index]), MAX_LOOKED_AT)
        return any(packet.pts is None for packet in packets)


def _decoded_times(source: InputContainer, index: int) -> PacketTimes:
    with open_again(source) as container:
        stream = container.streams.video[[track.index for track in container.streams.video].index(index)]
        stream.thread_type = "AUTO"
        stream.codec_context.copy_opaque = True
        times = ReorderedTimes()
        decoding: list[int | None] = []
        shown: dict[int, int] = {}
        next_time = 0
        try:
            for packet in read_packets(container, stream):
                if packet.size:
                    packet.opaque = len(decoding)
                    decoding.append(packet.dts)
                times.add(packet)
                for frame in packet.decode():
                    times.stamp(frame)
                    number = cast("int", frame.opaque)
                    shown[number] = next_time if frame.pts is None else frame.pts
                    next_time = shown[number] + frame.duration
        except av.error.FFmpegError as error:
            raise _unknown_order(stream, reason_of(error)) from None
    if len(shown) < len(decoding):
        raise _unknown_order(stream, f"{len(decoding) - len(shown)} of {len(decoding)} do not decode")
    delay = max((time - shown[number] for number, time in enumerate(decoding) if time is not None), default=0)
    lead = max(0, delay)
    return [(shown[number], None if time is None else time - lead) for number, time in enumerate(decoding)]


def _unknown_order(stream: Stream, why: str) -> MediaError:
    return MediaError(
        f"{stream.container.name} holds no times at which its frames are shown, and their order cannot be told "
        f"({why}): no file was written, convert the file first"
    )
