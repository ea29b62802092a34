"""The packets of the file to repair."""

from __future__ import annotations

from collections.abc import Iterator

import av
import av.error
from av.container import InputContainer
from av.stream import Stream

from cavsync.errors import MediaError
from cavsync.media.container import reason_of
from cavsync.media.packets import read_packets


def input_packets(container: InputContainer, *streams: Stream) -> Iterator[av.Packet[Stream]]:
    """Yield the packets of `streams` (of all where none is given) in the order of the file, without empty ones.

    Raises:
        MediaError: the file cannot be read to its end.
    """
    try:
        yield from (packet for packet in read_packets(container, *streams) if packet.size)
    except av.error.FFmpegError as error:
        raise MediaError(
            f"{container.name} breaks off ({reason_of(error)}): give a complete file", reason="truncated"
        ) from None
