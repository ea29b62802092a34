"""Copying of a media file packet by packet, without re-encoding, with some of its streams delayed."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import cast

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from cavsync.deploy.repair.input_packets import input_packets
from cavsync.deploy.repair.output_file import start_output
from cavsync.deploy.repair.output_streams import (
    ISO_ENDINGS,
    ISO_FORMATS,
    MATROSKA,
    TRANSPORT_STREAM,
    container_remedy,
)
from cavsync.deploy.repair.packet_clock import PacketClock
from cavsync.deploy.repair.plan import Plan, first_video
from cavsync.deploy.repair.presentation import presentation_times
from cavsync.deploy.repair.programme import programme_of
from cavsync.deploy.repair.stretch import Stretcher, stretched_packets
from cavsync.deploy.repair.trace import Trace, trace_of
from cavsync.deploy.repair.whole_input import open_again, open_whole
from cavsync.errors import MediaError
from cavsync.media.container import is_cover, reason_of
from cavsync.media.track_ends import TrackEnds, is_spliced

Progress = Callable[[float, float | None], None]
# Greatest number of packets by which any codec reorders frames.
MAX_REORDERED_PACKETS = 32
MAX_OFFSET_MS = 3_600_000.0


def remux(
    source: Path,
    output: Path,
    *,
    audio_delay_ms: float,
    audio_streams: Collection[int] | None = None,
    leave_out: Collection[int] = (),
    program: int | None = None,
    stretch: Fraction | None = None,
    on_progress: Progress | None = None,
) -> tuple[list[Trace], list[str]]:
    """Copy `source` to `output` with its audio `audio_delay_ms` later (earlier where negative) relative to the rest.

    Nothing is cut and no time becomes negative, because streams are only ever delayed: to advance the audio, all other
    streams are delayed. The ending of `output` selects the container.

    Args:
        audio_streams: numbers, among the audio streams, of those to move; None moves all of them.
        leave_out: indices, among all streams, of those that are not copied.
        program: number of the programme that the copy becomes; needed only where several have the same streams.
        stretch: by how much longer the audio streams that move become; they are re-encoded.
        on_progress: called with the seconds done and the seconds declared (None where nothing is declared).

    Returns:
        The trace of every stream passed to the muxer, and sentences about what the copy lacks.

    Raises:
        MediaError: `source` is unreadable or damaged, lacks the stream, or has what the container cannot hold.
    """
    with open_whole(source) as container, output.open("wb") as file:
        programme = programme_of(container, leave_out, program)
        delays = delays_seconds(container, audio_delay_ms, audio_streams)
        moved = _moved_audio(container, audio_streams)
        if audio_streams is None:
            moved = [stream for stream in moved if stream.index not in leave_out]
        _check_left_out(container, leave_out, moved)
        delays = _without_hidden_start(container, output, delays, leave_out)
        clock = PacketClock(delays, is_spliced=is_spliced(container), times=presentation_times(container))
        stretched = moved if stretch is not None else []
        plan = Plan(
            delays,
            programme,
            left_out=frozenset(leave_out),
            needed_audio=frozenset(stream.index for stream in moved if audio_streams is not None or len(moved) == 1),
            stretched=frozenset(stream.index for stream in stretched),
        )
        sink, targets = start_output(container, output, file, plan)
        traces = {index: trace_of(container.streams[index], delays.get(index, Fraction(0))) for index in targets}
        ends = TrackEnds(container)
        packets = _noted(input_packets(container), ends)
        if stretch is not None:
            start_seconds = Fraction(container.start_time or 0, av.time_base)
            packets = stretched_packets(
                packets,
                {
                    stream: Stretcher(stream, cast("av.AudioStream", targets[stream.index]), stretch, start_seconds)
                    for stream in stretched
                },
            )
        try:
            try:
                _copy(container, packets, sink, targets, clock, traces, on_progress)
            finally:
                sink.close()
        except OverflowError:
            raise MediaError(
                f"{source} has timestamps that no container can hold: give an undamaged file", reason="corrupt"
            ) from None
        except (av.error.FFmpegError, OSError, ValueError) as error:
            is_full = getattr(error, "errno", None) == errno.ENOSPC
            remedy = "free some disk space" if is_full else container_remedy(output)
            raise MediaError(
                f"{output} cannot be written ({reason_of(error)}), no file was written: {remedy}"
            ) from None
        notes = [f"stream {stream.index} (audio) was stretched and re-encoded" for stream in stretched]
        notes += [f"stream {index} ({container.streams[index].type}) was left out" for index in leave_out]
        if programme is not None and programme.names and sink.format.name not in (TRANSPORT_STREAM, MATROSKA):
            notes.append(f"{output.suffix} has no place for the names of the programme: {programme.all_names}")
        # Subtitles may end anywhere.
        played = [container.streams[index] for index, trace in traces.items() if trace.kind in ("video", "audio")]
        missing = ends.missing([stream for stream in played if not is_cover(stream)])
        notes += [f"{source.name} was cut off ({missing})"] if missing is not None else []
        if doubt := ends.doubt():
            notes.append(f"{source.name}: {doubt}")
        return list(traces.values()), notes


def _moved_audio(container: InputContainer, numbers: Collection[int] | None) -> list[av.AudioStream]:
    return [stream for number, stream in enumerate(container.streams.audio) if numbers is None or number in numbers]


def _check_left_out(container: InputContainer, leave_out: Collection[int], moved: Collection[Stream]) -> None:
    kept = {stream.index for stream in moved}
    for index in leave_out:
        if index >= len(container.streams):
            raise MediaError(f"{container.name} has no stream {index}: give 0 to {len(container.streams) - 1}")
        if index in kept:
            kind = container.streams[index].type
            raise MediaError(f"stream {index} is the {kind} of which the offset is removed: it cannot be left out")
    first_video(container, leave_out)


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
    container: InputContainer, output: Path, delays: dict[int, Fraction], leave_out: Collection[int]
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
    video = first_video(container, leave_out)
    if video in delays or not set(container.format.name.split(",")) & ISO_FORMATS:
        lead = max(lead, -_video_start_seconds(container, video))
    if lead == 0:
        return delays
    return {stream.index: delays.get(stream.index, Fraction(0)) + lead for stream in container.streams}


def _video_start_seconds(container: InputContainer, index: int) -> Fraction:
    """Return the presentation time of the first video frame."""
    with open_again(container) as again:
        packets = islice(input_packets(again, again.streams[index]), MAX_REORDERED_PACKETS)
        times = [packet.pts * packet.time_base for packet in packets if packet.pts is not None]
    return min(times, default=Fraction(0))


def _copy(
    container: InputContainer,
    packets: Iterator[av.Packet[Stream]],
    sink: OutputContainer,
    targets: dict[int, Stream],
    clock: PacketClock,
    traces: dict[int, Trace],
    on_progress: Progress | None,
) -> None:
    start_seconds = (container.start_time or 0) / av.time_base
    declared_seconds = None if container.duration is None else container.duration / av.time_base
    for packet in packets:
        target = targets.get(packet.stream_index)
        if target is None:
            continue
        trace, is_hidden = traces[packet.stream_index], packet.is_discard
        pts_seconds = clock.stamp(packet)
        if pts_seconds is None and trace.kind == "video" and not trace.is_cover:
            raise MediaError(
                f"{container.name} lacks the times at which some of its frames are shown: no file was written, "
                "convert the file first"
            )
        duration_seconds = (packet.duration or 0) * packet.time_base
        trace.add(pts_seconds, duration_seconds, is_hidden=is_hidden)
        packet.stream = target
        sink.mux_one(packet)
        if on_progress is not None and pts_seconds is not None:
            on_progress(float(pts_seconds) - start_seconds, declared_seconds)


def _noted(packets: Iterator[av.Packet[Stream]], ends: TrackEnds) -> Iterator[av.Packet[Stream]]:
    for packet in packets:
        ends.add(packet)
        yield packet
