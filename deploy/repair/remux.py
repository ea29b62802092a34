"""Copying of a media file packet by packet, without re-encoding, with some of its streams delayed."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import cast

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.format import Flags
from av.stream import Stream

from cavsync.deploy.repair.output_streams import (
    ISO_ENDINGS,
    ISO_FORMATS,
    add_streams,
    container_remedy,
    muxer_options,
)
from cavsync.deploy.repair.packet_clock import PacketClock
from cavsync.deploy.repair.trace import Trace, trace_of
from cavsync.errors import MediaError
from cavsync.media.container import reason_of
from cavsync.media.packets import late_streams_note, read_packets

Progress = Callable[[float, float | None], None]
# Greatest number of packets by which any codec reorders frames.
MAX_REORDERED_PACKETS = 32
# Tolerances of declared durations, as in `cavsync.media.decode`.
MISSING_SECONDS, MISSING_SHARE = 1.0, 0.05
MAX_OFFSET_MS = 3_600_000.0


def remux(
    source: Path,
    output: Path,
    *,
    audio_delay_ms: float,
    audio_streams: Collection[int] | None = None,
    on_progress: Progress | None = None,
) -> tuple[list[Trace], list[str]]:
    """Copy `source` to `output` with its audio `audio_delay_ms` later (earlier where negative) relative to the rest.

    Nothing is cut and no time becomes negative, because streams are only ever delayed: to advance the audio, all other
    streams are delayed. The ending of `output` selects the container.

    Args:
        audio_streams: numbers, among the audio streams, of those to move; None moves all of them.
        on_progress: called with the seconds done and the seconds declared (None where nothing is declared).

    Returns:
        The trace of every stream passed to the muxer, and sentences about parts that are missing in the copy.

    Raises:
        MediaError: `source` is unreadable or damaged, lacks the stream, or has streams that the container cannot hold.
    """
    with _open(source) as container:
        delays = delays_seconds(container, audio_delay_ms, audio_streams)
        delays = _without_hidden_start(container, source, output, delays)
        clock = PacketClock(delays, is_spliced=is_spliced(container))
        sink, targets, left_out = _start(container, output, delays)
        traces = {index: trace_of(container.streams[index], delays.get(index, Fraction(0))) for index in targets}
        try:
            try:
                _copy(container, sink, targets, clock, traces, on_progress)
            finally:
                sink.close()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            is_full = getattr(error, "errno", None) == errno.ENOSPC
            remedy = "free some disk space" if is_full else container_remedy(output)
            raise MediaError(
                f"{output} cannot be written ({reason_of(error)}), no file was written: {remedy}"
            ) from None
        if note := late_streams_note(container):
            left_out.append(f"{note} not copied")
        return list(traces.values()), [*left_out, *_missing_end(container, traces.values())]


def _missing_end(container: InputContainer, traces: Iterable[Trace]) -> Iterator[str]:
    """Yield a note where a truncated file, which is copied as far as it goes, ends before its declared end."""
    ends_seconds = [float(trace.end_seconds) for trace in traces if trace.end_seconds is not None]
    if container.duration is None or not ends_seconds:
        return
    declared_seconds = container.duration / av.time_base
    found_seconds = max(ends_seconds) - (container.start_time or 0) / av.time_base
    if declared_seconds - found_seconds > max(MISSING_SECONDS, MISSING_SHARE * declared_seconds):
        yield f"INPUT ends after {found_seconds:.1f} s of the {declared_seconds:.1f} s that its header declares"


def delays_seconds(
    container: InputContainer, audio_delay_ms: float, audio_streams: Collection[int] | None
) -> dict[int, Fraction]:
    """Return stream index -> delay for the streams to delay.

    Raises:
        MediaError: the audio stream does not exist, or the file has no audio or no video.
    """
    audio = [stream.index for stream in container.streams if stream.type == "audio"]
    video = [stream.index for stream in container.streams if stream.type == "video"]
    if not audio or not video:
        raise MediaError(f"{container.name} lacks {'audio' if not audio else 'video'}: give a file with both")
    numbers = range(len(audio)) if audio_streams is None else audio_streams
    missing = [number for number in numbers if number >= len(audio)]
    if missing:
        raise MediaError(
            f"{container.name} has {len(audio)} audio streams, no stream {missing[0]}: give 0 to {len(audio) - 1}"
        )
    chosen = {audio[number] for number in numbers}
    delay = Fraction(audio_delay_ms).limit_denominator(1_000_000) / 1000
    if delay >= 0:
        return dict.fromkeys(chosen, delay)
    return {stream.index: -delay for stream in container.streams if stream.index not in chosen}


def _without_hidden_start(
    container: InputContainer, source: Path, output: Path, delays: dict[int, Fraction]
) -> dict[int, Fraction]:
    """Return the delays, increased for all streams where media before time zero would be hidden or misplaced.

    In ISO files a time below zero means that an edit list hides the packet. That is kept for audio priming and for
    video that is not moved. Two other cases are delayed to start at zero: a broadcast that starts below zero because
    its clock is about to wrap, which hides nothing; and a delayed video, because its edit list may start within a
    frame, which players interpret differently.
    """
    if output.suffix.lower() not in ISO_ENDINGS:
        return delays
    lead = Fraction(0)
    if is_spliced(container) and container.start_time is not None:
        lead = max(lead, Fraction(-container.start_time, av.time_base))
    video = next(stream.index for stream in container.streams if stream.type == "video")
    if video in delays or not set(container.format.name.split(",")) & ISO_FORMATS:
        lead = max(lead, -_video_start_seconds(source, video))
    if lead == 0:
        return delays
    return {stream.index: delays.get(stream.index, Fraction(0)) + lead for stream in container.streams}


def _video_start_seconds(source: Path, index: int) -> Fraction:
    """Return the presentation time of the first video frame."""
    with _open(source) as container:
        packets = islice(read_packets(container, container.streams[index]), MAX_REORDERED_PACKETS)
        times = [packet.pts * packet.time_base for packet in packets if packet.pts is not None]
    return min(times, default=Fraction(0))


def is_spliced(container: InputContainer) -> bool:
    """Return whether the format's times may jump."""
    # PyAV's stubs declare the value of a flag as a flag.
    return bool(container.format.flags & cast("int", Flags.ts_discont.value))


def _open(source: Path) -> InputContainer:
    try:
        # Metadata that is not UTF-8 is copied byte for byte.
        return av.open(str(source.absolute()), metadata_errors="surrogateescape")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{source} cannot be opened as media ({reason_of(error)}): give a complete file that FFmpeg reads",
            reason="unreadable",
        ) from None


def _start(
    container: InputContainer, output: Path, delays: dict[int, Fraction]
) -> tuple[OutputContainer, dict[int, Stream], list[str]]:
    """Open the output and write its header, without codec tags or data streams where the muxer refuses them."""
    refusal = ""
    for keeps_tags, keeps_data in ((True, True), (False, True), (True, False), (False, False)):
        try:
            sink = av.open(
                str(output.absolute()),
                "w",
                metadata_errors="surrogateescape",
                container_options=muxer_options(container, output, max(delays.values(), default=Fraction(0))),
            )
        except ValueError:
            raise MediaError(
                f"{output.name} has no ending that names a container: give one such as .mp4, .mkv, .mov or .ts"
            ) from None
        targets, left_out = add_streams(container, sink, keeps_tags=keeps_tags, keeps_data=keeps_data)
        _describe(container, sink, delays)
        try:
            sink.start_encoding()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            refusal = reason_of(error)
            sink.close()
            continue
        return sink, targets, left_out
    codecs = ", ".join(trace_of(stream).codec or stream.type for stream in container.streams)
    raise MediaError(
        f"{output.suffix} cannot hold these streams ({codecs}: {refusal}): no file was written, "
        f"{container_remedy(output)}"
    )


def _describe(container: InputContainer, sink: OutputContainer, delays: dict[int, Fraction]) -> None:
    """Copy metadata and chapters; chapters get the delay of the video."""
    brands = ("major_brand", "minor_version", "compatible_brands")
    sink.metadata.update({key: value for key, value in container.metadata.items() if key not in brands})
    video = next(stream.index for stream in container.streams if stream.type == "video")
    chapters = container.chapters()
    for chapter in chapters:
        # FFmpeg's chapters always have a time base.
        delay = round(delays.get(video, Fraction(0)) / cast("Fraction", chapter["time_base"]))
        chapter["start"] += delay
        chapter["end"] += delay
    if chapters:
        sink.set_chapters(chapters)


def _copy(
    container: InputContainer,
    sink: OutputContainer,
    targets: dict[int, Stream],
    clock: PacketClock,
    traces: dict[int, Trace],
    on_progress: Progress | None,
) -> None:
    start_seconds = (container.start_time or 0) / av.time_base
    declared_seconds = None if container.duration is None else container.duration / av.time_base
    for packet in _packets(container):
        target = targets.get(packet.stream_index)
        if target is None:
            continue
        trace, is_hidden = traces[packet.stream_index], packet.is_discard
        pts_seconds = clock.stamp(packet)
        trace.add(pts_seconds, (packet.duration or 0) * packet.time_base, is_hidden)
        packet.stream = target
        sink.mux_one(packet)
        if on_progress is not None and pts_seconds is not None:
            on_progress(float(pts_seconds) - start_seconds, declared_seconds)


def _packets(container: InputContainer) -> Iterator[av.Packet[Stream]]:
    """Yield all packets in the order of the file, except the empty ones by which PyAV flushes decoders."""
    try:
        yield from (packet for packet in read_packets(container) if packet.size)
    except av.error.FFmpegError as error:
        raise MediaError(
            f"{container.name} breaks off ({reason_of(error)}): give a complete file", reason="truncated"
        ) from None
