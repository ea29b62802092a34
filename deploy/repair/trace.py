"""Packet times of a file's streams, and the check that a copy has moved the right packets and nothing else."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.stream import Stream

from cavsync.deploy.repair.output_streams import container_remedy
from cavsync.deploy.repair.whole_input import is_unknown, open_whole
from cavsync.errors import MediaError
from cavsync.media.container import is_cover, reason_of
from cavsync.media.packets import read_packets

TIMED_KINDS = ("video", "audio", "subtitle")
# Containers with a time base of a millisecond round video and audio by half of it each.
TIME_TOLERANCE_SECONDS = 0.002
NO_TIME = -(2**63)
# Muxers of transport streams put several frames of audio into one packet with one time, across a gap too, so the frames
# after a gap are not compared.
GAP_SECONDS = Fraction(5, 1000)
INEXACT_SECONDS = Fraction(1, 2)
# Muxers repacketise uncompressed audio, and some omit the duration of the last packet.
END_TOLERANCE_SECONDS = Fraction(1, 5)


@dataclass
class Trace:
    """Presentation times of one stream's packets, in seconds.

    `is_known` is False where FFmpeg finds nothing but the codec of a picture or a sound, so that it does not decode.
    `times_us` are those of all packets in file order, with NO_TIME for those that cannot be compared.

    `delay_seconds` is the delay that the copy adds; `shown_seconds` is the start without packets that are hidden.
    """

    kind: str
    codec: str
    is_cover: bool
    is_known: bool = True
    delay_seconds: Fraction = Fraction(0)
    times_us: array[int] = field(default_factory=lambda: array("q"))
    start_seconds: Fraction | None = None
    end_seconds: Fraction | None = None
    shown_seconds: Fraction | None = None
    _next_seconds: Fraction | None = None
    _inexact_until_seconds: Fraction = Fraction(-(2**63))

    def add(self, pts_seconds: Fraction | None, duration_seconds: Fraction, *, is_hidden: bool = False) -> None:
        """Add a packet; `is_hidden` if an edit list excludes it from presentation."""
        if pts_seconds is None:
            self.times_us.append(NO_TIME)
            return
        if self.kind == "audio" and abs(pts_seconds - (self._next_seconds or pts_seconds)) > GAP_SECONDS:
            self._inexact_until_seconds = pts_seconds + INEXACT_SECONDS
        end_seconds = self._next_seconds = pts_seconds + duration_seconds
        self.times_us.append(NO_TIME if pts_seconds < self._inexact_until_seconds else round(pts_seconds * 1_000_000))
        self.start_seconds = pts_seconds if self.start_seconds is None else min(self.start_seconds, pts_seconds)
        self.end_seconds = end_seconds if self.end_seconds is None else max(self.end_seconds, end_seconds)
        if not is_hidden:
            self.shown_seconds = pts_seconds if self.shown_seconds is None else min(self.shown_seconds, pts_seconds)

    @property
    def hidden_seconds(self) -> Fraction:
        """Duration that an edit list hides at the start."""
        if self.start_seconds is None or self.shown_seconds is None:
            return Fraction(0)
        return self.shown_seconds - self.start_seconds

    @property
    def is_timed(self) -> bool:
        """Whether its times can be compared; cover images and data have no meaningful times."""
        return self.kind in TIMED_KINDS and not self.is_cover


def trace_of(stream: Stream, delay_seconds: Fraction = Fraction(0)) -> Trace:
    """Return an empty trace for a stream whose copy is delayed."""
    codec = stream.codec_context.codec.canonical_name if stream.codec_context is not None else ""
    return Trace(stream.type, codec, is_cover(stream), not is_unknown(stream), delay_seconds)


def trace_file(path: Path) -> list[Trace]:
    """Read every packet of a file, without decoding, and return a trace per stream.

    Raises:
        MediaError: the file cannot be read to its end.
    """
    try:
        with av.open(str(path.absolute()), metadata_errors="surrogateescape") as container:
            traces = [trace_of(stream) for stream in container.streams]
            for packet in read_packets(container):
                if packet.size:
                    base = packet.time_base
                    pts_seconds = None if packet.pts is None else packet.pts * base
                    traces[packet.stream_index].add(pts_seconds, (packet.duration or 0) * base)
        if not all(trace.is_known for trace in traces):
            with open_whole(path) as container:
                for trace, stream in zip(traces, container.streams, strict=False):
                    trace.is_known = not is_unknown(stream)
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(
            f"{path} cannot be read back ({reason_of(error)}): no file was written, choose another container"
        ) from None
    return traces


def check_chapters(source: Path, written: Path, output: Path) -> None:
    """Raise MediaError if the copy lacks chapters, which not every container holds."""
    counts = []
    for path in (source, written):
        with av.open(str(path.absolute()), metadata_errors="surrogateescape") as container:
            counts.append(len(container.chapters()))
    if counts[1] < counts[0]:
        raise MediaError(
            f"{output.suffix} cannot hold chapters: no file was written, give an OUTPUT that ends in .mkv or .mp4"
        )


def compare(planned: Sequence[Trace], written: Sequence[Trace], output: Path) -> None:
    """Compare the packets of the copy with those that were passed to the muxer.

    Raises:
        MediaError: a stream is missing, lacks its header, was converted to another codec, cut, or displaced in time.
    """
    pairs = _pairs(planned, written, output)
    clock = next((pair for pair in pairs if pair[0].kind == "video"), pairs[0])
    zero_seconds = _start(clock[1]) - clock[0].delay_seconds - _start(clock[0])
    for before, after in pairs:
        if before.is_known and not after.is_known:
            raise MediaError(
                f"{output.suffix} has no place for the header of {before.kind} in {before.codec}, without which it "
                f"does not decode: no file was written, {container_remedy(output)}"
            )
        # The times of subtitles are not compared: containers fill the gaps between lines in different ways.
        if before.kind == "subtitle":
            continue
        delay_seconds = before.delay_seconds + zero_seconds
        error_seconds = _largest_error_seconds(before, after, delay_seconds)
        is_moved = abs(error_seconds) > TIME_TOLERANCE_SECONDS
        is_cut = _end(after) - _end(before) - delay_seconds < -END_TOLERANCE_SECONDS
        if before.kind == "video":
            is_cut |= len(after.times_us) != len(before.times_us)
        if is_moved or is_cut:
            fault = f"moves its {before.kind} by {float(error_seconds) * 1000:+.1f} ms" if is_moved else "cuts it"
            raise MediaError(
                f"{output.suffix} cannot hold this file with these times (it {fault}): "
                f"no file was written, {container_remedy(output)}"
            )


def _largest_error_seconds(before: Trace, after: Trace, delay_seconds: Fraction) -> float:
    """Return by how much the packet that is displaced most lies off its place.

    Where the muxer has divided a stream into other packets, as it does with uncompressed audio, only the first counts.
    """
    if len(before.times_us) != len(after.times_us):
        return float(_start(after) - _start(before) - delay_seconds)
    delay_us = round(delay_seconds * 1_000_000)
    errors_us = [
        late - early - delay_us
        for early, late in zip(before.times_us, after.times_us, strict=True)
        if NO_TIME not in (early, late)
    ]
    return max(errors_us, key=abs, default=0) / 1_000_000


def _pairs(planned: Sequence[Trace], written: Sequence[Trace], output: Path) -> list[tuple[Trace, Trace]]:
    """Pair the streams by their order within each kind, as containers differ in where they put covers and chapters."""
    pairs: list[tuple[Trace, Trace]] = []
    for kind in TIMED_KINDS:
        before = [trace for trace in planned if trace.is_timed and trace.kind == kind]
        after = [trace for trace in written if trace.is_timed and trace.kind == kind]
        if [_family(trace) for trace in before] != [_family(trace) for trace in after][: len(before)]:
            codecs = ", ".join(trace.codec or "unknown" for trace in before)
            raise MediaError(
                f"{output.suffix} cannot hold {kind} in {codecs}: no file was written, {container_remedy(output)}"
            )
        pairs += [
            (one, other)
            for one, other in zip(before, after, strict=False)
            if None not in (one.start_seconds, other.start_seconds)
        ]
    if not pairs:
        raise MediaError(f"no packet with a timestamp was copied to {output}: give a complete INPUT")
    return pairs


def _family(trace: Trace) -> str:
    """Return the codec, with the layers of MPEG audio as one: MP4 has a single name for them."""
    return "mpeg audio" if trace.codec in ("mp1", "mp2", "mp3") else trace.codec


def _start(trace: Trace) -> Fraction:
    return trace.start_seconds or Fraction(0)


def _end(trace: Trace) -> Fraction:
    return trace.end_seconds or Fraction(0)
