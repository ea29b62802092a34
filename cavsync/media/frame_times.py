"""Presentation times of frames whose container holds decoding times only, and the order that times must have.

AVI stores pictures in the order of decoding, without the times at which they are shown. A decoder returns them in the
order of presentation, so the picture that comes out n-th is shown at the n-th of the sorted decoding times; players do
the same. FFmpeg's own guess lies later by the delay of the decoder, and may be out of order.
"""

from __future__ import annotations

import heapq
from typing import Any, cast

import av
from av.container import InputContainer
from av.container.core import Flags

from cavsync.errors import MediaError

# No codec holds back more pictures than this before it shows one.
MAX_REORDERED_PICTURES = 32
# A splice turns the clock back once; wrong times turn it back again and again.
MAX_DISORDERED_SHARE = 0.02
MIN_DISORDERED_PICTURES = 3
# Codecs whose presentation times FFmpeg cannot derive from decoding times.
REORDERING_CODECS = frozenset({"h264", "hevc", "vvc"})


def forbid_guesses(container: InputContainer) -> None:
    """Turn off the guessing of presentation times, which PyAV asks FFmpeg for, where it guesses wrong."""
    codecs = {track.codec_context.name for track in container.streams.video if track.codec_context is not None}
    if container.format.name == "avi" or codecs & REORDERING_CODECS:
        container.flags &= ~cast("int", Flags.gen_pts.value)


class ReorderedTimes:
    """Presentation times of one video stream's pictures, for a stream that holds decoding times only.

    Call `add` with each packet before it is decoded, then `stamp` with each picture that the decoder returns. Both do
    nothing if the stream's first packet has a presentation time. For streams whose decoder copies a packet's mark to
    its picture (`copy_opaque`), lost pictures are noticed.
    """

    def __init__(self) -> None:
        self.is_needed: bool | None = None
        self._times: list[int] = []
        self._pending: set[int] = set()
        self._num_packets = 0

    def add(self, packet: av.Packet[Any]) -> None:
        """Note a packet's decoding time, and mark it with its number."""
        if not packet.size:
            return
        if self.is_needed is None and not (packet.pts is None and packet.dts is None):
            self.is_needed = packet.pts is None
        if not self.is_needed or packet.dts is None:
            return
        packet.opaque = self._num_packets
        self._pending.add(self._num_packets)
        heapq.heappush(self._times, packet.dts)
        self._num_packets += 1

    def stamp(self, frame: av.VideoFrame) -> None:
        """Set the picture's time in place."""
        if not self.is_needed:
            return
        number = cast("int | None", frame.opaque)
        if number is not None:
            self._pending.discard(number)
            lost = {other for other in self._pending if other < number - MAX_REORDERED_PICTURES}
            self._pending -= lost
            for _ in lost:
                heapq.heappop(self._times)
        frame.pts = heapq.heappop(self._times) if self._times else None


class OrderCheck:
    """Counts pictures whose time lies before that of the picture before."""

    def __init__(self) -> None:
        self._last_seconds: float | None = None
        self.num_pictures = 0
        self.num_disordered = 0

    def add(self, pts_seconds: float) -> None:
        """Add the time of the next picture in the order of presentation."""
        self.num_pictures += 1
        self.num_disordered += self._last_seconds is not None and pts_seconds < self._last_seconds
        self._last_seconds = pts_seconds

    def check(self, source: str) -> None:
        """Raise MediaError if so many pictures are out of order that their times cannot be trusted."""
        if self.num_disordered >= max(MIN_DISORDERED_PICTURES, MAX_DISORDERED_SHARE * self.num_pictures):
            raise MediaError(
                f"{source} gives its frames times that contradict their order ({self.num_disordered} of "
                f"{self.num_pictures}), so no offset can be measured: make the file again from its source",
                reason="corrupt",
            )
