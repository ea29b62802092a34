"""The output's container: its choice by the ending, its options, header, metadata and chapters."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import IO, cast

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.format import Flags
from av.stream import Stream

from cavsync.deploy.repair.output_streams import (
    ISO_ENDINGS,
    add_streams,
    codec_name,
    container_remedy,
    is_rewritten_timecode,
)
from cavsync.deploy.repair.plan import Plan
from cavsync.errors import MediaError
from cavsync.media.container import reason_of

BUFFER_BYTES = 1 << 18
TRANSPORT_ENDINGS = frozenset({".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".vob"})
CLOCK_LEAD_MS = 700
# Unit of edit lists in ISO files, which delay a stream; the default of 1/1000 s would round to 1 ms.
MOVIE_TIMESCALE = 90_000
INTERLEAVE_SECONDS = 10


def start_output(
    container: InputContainer, output: Path, file: IO[bytes], plan: Plan
) -> tuple[OutputContainer, dict[int, Stream]]:
    """Open the output and write its header, without codec tags where the muxer refuses them.

    PyAV leaves a file that it opened itself open when the header is refused, so it gets an open one, `file`.

    Raises:
        MediaError: the ending names no container, or one of several files, or one that cannot hold the streams.
    """
    refusal = ""
    options = muxer_options(container, output, plan)
    for keeps_tags in (True, False):
        file.seek(0)
        file.truncate()
        try:
            sink = av.open(
                file, "w", metadata_errors="surrogateescape", container_options=options, buffer_size=BUFFER_BYTES
            )
        except ValueError:
            raise MediaError(
                f"{output.name} has no ending that names a container: give one such as .mp4, .mkv, .mov or .ts"
            ) from None
        if sink.format.flags & cast("int", Flags.no_file.value):
            raise MediaError(
                f"{output.name} would be a set of several files ({sink.format.long_name}): give an OUTPUT of one file, "
                "such as .mp4, .mkv, .mov or .ts"
            )
        targets = add_streams(container, sink, plan, keeps_tags=keeps_tags)
        _check_timecode(container, sink, plan)
        _describe(container, sink, plan)
        try:
            sink.start_encoding()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            refusal = reason_of(error)
            continue
        return sink, targets
    data = [stream.index for stream in container.streams if stream.type == "data" and stream.index in targets]
    codecs = ", ".join(codec_name(stream) for stream in container.streams if stream.index in targets)
    remedy = f"give {' '.join(f'--leave-out {index}' for index in data)} to copy the others"
    raise MediaError(
        f"{output.suffix} cannot hold these streams ({codecs}: {refusal}): no file was written, "
        f"{remedy if data else container_remedy(output)}"
    )


def _check_timecode(container: InputContainer, sink: OutputContainer, plan: Plan) -> None:
    """Raise MediaError if the picture is delayed: the muxer starts time codes with the file, not with the picture."""
    if plan.video_delay_seconds(container) == 0:
        return
    for stream in container.streams:
        if stream.index not in plan.left_out and is_rewritten_timecode(stream, sink):
            raise MediaError(
                f"the time codes (stream {stream.index}) would no longer fit the picture, which has to be delayed: no "
                f"file was written, give --leave-out {stream.index} to copy the file without them"
            )


def _describe(container: InputContainer, sink: OutputContainer, plan: Plan) -> None:
    """Copy metadata, the names of the programme, and chapters, which get the delay of the video."""
    brands = ("major_brand", "minor_version", "compatible_brands")
    sink.metadata.update({key: value for key, value in container.metadata.items() if key not in brands})
    if plan.programme is not None:
        sink.metadata.update(plan.programme.names)
    chapters = container.chapters()
    for chapter in chapters:
        # FFmpeg's chapters always have a time base.
        delay = round(plan.video_delay_seconds(container) / cast("Fraction", chapter["time_base"]))
        chapter["start"] += delay
        chapter["end"] += delay
    if chapters:
        sink.set_chapters(chapters)


def muxer_options(container: InputContainer, output: Path, plan: Plan) -> dict[str, str]:
    """Return the muxer's options, which keep streams interleaved, delays exact, and a programme's number."""
    interleave_seconds = INTERLEAVE_SECONDS + math.ceil(max(plan.delays_seconds.values(), default=Fraction(0)))
    options = {"max_interleave_delta": str(interleave_seconds * 1_000_000)}
    if output.suffix.lower() in TRANSPORT_ENDINGS:
        # As in FFmpeg's own tool, the clock reference leads the packets, so that receivers can buffer.
        options["max_delay"] = str(CLOCK_LEAD_MS * 1000)
    if plan.programme is not None:
        # Other muxers ignore it.
        options["mpegts_service_id"] = str(plan.programme.number)
    if output.suffix.lower() in ISO_ENDINGS:
        options["movie_timescale"] = str(MOVIE_TIMESCALE)
        if any("." in key for key in container.metadata):
            # The default table has no place for keys such as com.apple.quicktime.location, which cameras write.
            options["movflags"] = "+use_metadata_tags"
    return options
