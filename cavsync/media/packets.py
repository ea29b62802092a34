"""The packets of a container, also where FFmpeg finds further streams while it reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar, overload

import av
from av.container import InputContainer
from av.stream import Stream

from cavsync.media.description import num_streams

S = TypeVar("S", bound=Stream)


@overload
def read_packets(container: InputContainer) -> Iterator[av.Packet[Stream]]: ...
@overload
def read_packets(container: InputContainer, stream: S, /, *streams: S) -> Iterator[av.Packet[S]]: ...
def read_packets(container: InputContainer, *streams: Stream) -> Iterator[av.Packet[Any]]:
    """Iterate over the packets of `streams` (of all where none is given), then over the empty ones that end decoders.

    A stream that begins after the container was opened, as in a broadcast that gains a second sound, is left out.

    Raises:
        av.error.FFmpegError: the container cannot be read further.
    """
    try:
        yield from container.demux(*streams)
    except IndexError:
        # PyAV knows the streams of the opening only, and at the end stumbles over those that FFmpeg added later. They
        # come last, so everything that was wanted has been read.
        return


def late_streams_note(container: InputContainer) -> str:
    """Return a clause about the streams that began after the container was opened; empty where there are none."""
    num_late = num_streams(container) - len(container.streams)
    if num_late <= 0:
        return ""
    return "one stream that begins later was" if num_late == 1 else f"{num_late} streams that begin later were"
