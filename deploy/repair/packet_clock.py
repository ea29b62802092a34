"""New timestamps for copied packets: continuous over splices, increasing in each stream, and delayed as requested."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

import av
from av.stream import Stream

from cavsync.deploy.repair.presentation import PacketTimes

# A jump of a stream by more than this marks a splice if no other stream fills the gap (FFmpeg's own tool agrees).
MAX_JUMP_SECONDS = Fraction(10)
MAX_STEP_BACK_SECONDS = Fraction(1, 2)
# Coarsest step of applied delays; time bases coarser than this are subdivided.
FINEST_STEP_SECONDS = Fraction(1, 90_000)
MAX_DENOMINATOR = (1 << 31) - 1
"""Of a time base of FFmpeg."""
SPLICED_KINDS = ("video", "audio")


class Splicer:
    """Makes the times of a spliced broadcast continuous and keeps the offset between its audio and video.

    Streams reach a splice one after another. The first one determines by how much the part after the splice is moved;
    the others are moved by the same when they reach it.
    """

    def __init__(self) -> None:
        self._offsets = [Fraction(0)]
        self._part_of: dict[int, int] = {}
        self._next: dict[int, Fraction] = {}

    def offset_seconds(self, stream: int, kind: str, time_seconds: Fraction, duration_seconds: Fraction) -> Fraction:
        """Return the seconds to add to the packet's times; call it for all packets in the order of the file."""
        if kind not in SPLICED_KINDS:
            return self._offsets[self._nearest(time_seconds, 0)]
        part = self._part_of.get(stream)
        if part is None:
            part = self._nearest(time_seconds, 0)
        elif self._has_jumped(stream, time_seconds + self._offsets[part]):
            part = self._part_after(part, time_seconds)
        self._part_of[stream] = part
        self._next[stream] = time_seconds + self._offsets[part] + duration_seconds
        return self._offsets[part]

    def _has_jumped(self, stream: int, time_seconds: Fraction) -> bool:
        jump = time_seconds - self._next[stream]
        if jump < -MAX_STEP_BACK_SECONDS:
            return True
        # A gap of any length in the audio is no splice while the video goes on.
        return jump > MAX_JUMP_SECONDS and time_seconds - self._latest() > MAX_JUMP_SECONDS

    def _part_after(self, part: int, time_seconds: Fraction) -> int:
        if part + 1 < len(self._offsets):
            found = self._nearest(time_seconds, part + 1)
            if abs(time_seconds + self._offsets[found] - self._latest()) <= MAX_JUMP_SECONDS:
                return found
        self._offsets.append(self._latest() - time_seconds)
        return len(self._offsets) - 1

    def _nearest(self, time_seconds: Fraction, first: int) -> int:
        """Return the part, from `first` on, that places the time nearest to the latest packet."""
        latest = self._latest()
        parts = range(first, len(self._offsets))
        return min(parts, key=lambda part: abs(time_seconds + self._offsets[part] - latest))

    def _latest(self) -> Fraction:
        return max(self._next.values(), default=Fraction(0))


class PacketClock:
    """Sets the timestamps of packets, stream by stream.

    Args:
        delays_seconds: stream index -> delay of its packets; never negative.
        is_spliced: whether the container's times may jump (MPEG transport and programme streams).
        times: stream index -> presentation and decoding times of its packets, in place of the container's.
    """

    def __init__(
        self,
        delays_seconds: dict[int, Fraction],
        *,
        is_spliced: bool,
        times: Mapping[int, PacketTimes] = MappingProxyType({}),
    ) -> None:
        self._delays_seconds = delays_seconds
        self._times = {index: iter(of_stream) for index, of_stream in times.items()}
        self._splicer = Splicer() if is_spliced else None
        self._last: dict[int, int] = {}

    def stamp(self, packet: av.Packet[Stream]) -> Fraction | None:
        """Rewrite pts, dts, duration and time base in place.

        Returns:
            The presentation time in seconds before the delay; None where the packet has none.
        """
        index, coarse = packet.stream_index, packet.time_base
        split = -int(-coarse // FINEST_STEP_SECONDS)
        while split > 1 and (coarse / split).denominator > MAX_DENOMINATOR:
            split -= 1
        step = coarse / split
        delay = round(self._delays_seconds.get(index, Fraction(0)) / step)
        if index in self._times:
            packet.pts, packet.dts = next(self._times[index])
        pts, dts = packet.pts, packet.dts
        moved = round(self._splice_seconds(packet) / step)
        duration = (packet.duration or 0) * split
        if pts is not None:
            pts = pts * split + moved
        if dts is not None:
            dts = dts * split + moved
        pts, dts = self._increasing(index, pts, dts, duration)
        packet.time_base = step
        packet.duration = duration
        packet.pts = None if pts is None else pts + delay
        packet.dts = None if dts is None else dts + delay
        return None if pts is None else pts * step

    def _splice_seconds(self, packet: av.Packet[Stream]) -> Fraction:
        time = packet.pts if packet.dts is None else packet.dts
        if self._splicer is None or time is None:
            return Fraction(0)
        base = packet.time_base
        return self._splicer.offset_seconds(
            packet.stream_index, packet.stream.type, time * base, (packet.duration or 0) * base
        )

    def _increasing(self, index: int, pts: int | None, dts: int | None, duration: int) -> tuple[int | None, int | None]:
        """Make decoding times increase, as muxers require; those of damaged files and splices may not."""
        last = self._last.get(index)
        if dts is None and last is not None:
            dts = last + max(1, duration) if pts is None else min(pts, last + max(1, duration))
        if dts is None:
            return pts, dts
        if last is not None and dts <= last:
            dts = last + 1
        if pts is not None:
            pts = max(pts, dts)
        self._last[index] = dts
        return pts, dts
