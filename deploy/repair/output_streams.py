"""The output's streams: copies of the input's with their codec data, tag, language, disposition and number."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.stream import Discard, Stream

from cavsync.errors import MediaError
from cavsync.media.container import is_cover

ISO_FORMATS = frozenset({"mov", "mp4", "ipod", "3gp", "3g2", "ismv", "psp"})
ISO_ENDINGS = frozenset({".mp4", ".mov", ".m4v", ".3gp"})
COVER_FORMATS = frozenset({"mov", "mp4", "ipod", "matroska"})
TRANSPORT_ENDINGS = frozenset({".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".vob"})
CLOCK_LEAD_MS = 700
TRANSPORT_STREAM = "mpegts"
# Packet identifiers (PID) available to streams; the muxer puts its own tables at 0x1000.
FREE_PIDS = range(0x20, 0x1FFF)
# Unit of edit lists in ISO files, which delay a stream; the default of 1/1000 s would round to 1 ms.
MOVIE_TIMESCALE = 90_000
INTERLEAVE_SECONDS = 10


def container_remedy(output: Path) -> str:
    """Return the advice for an error message about a container that cannot hold the streams."""
    return "give an OUTPUT " + ("with the ending of INPUT" if output.suffix.lower() == ".mkv" else "that ends in .mkv")


def muxer_options(container: InputContainer, output: Path, delay_seconds: Fraction) -> dict[str, str]:
    """Return the muxer's options, which keep delayed streams interleaved and the delays exact."""
    interleave_seconds = INTERLEAVE_SECONDS + math.ceil(delay_seconds)
    options = {"max_interleave_delta": str(interleave_seconds * 1_000_000)}
    if output.suffix.lower() in TRANSPORT_ENDINGS:
        # As in FFmpeg's own tool, the clock reference leads the packets, so that receivers can buffer.
        options["max_delay"] = str(CLOCK_LEAD_MS * 1000)
    if output.suffix.lower() in ISO_ENDINGS:
        options["movie_timescale"] = str(MOVIE_TIMESCALE)
        if any("." in key for key in container.metadata):
            # The default table has no place for keys such as com.apple.quicktime.location, which cameras write.
            options["movflags"] = "+use_metadata_tags"
    return options


def add_streams(
    container: InputContainer, sink: OutputContainer, *, keeps_tags: bool, keeps_data: bool
) -> tuple[dict[int, Stream], list[str]]:
    """Add a stream to the output for each of the input.

    Returns:
        Input index -> output stream, and a sentence for each stream that is left out because the container cannot hold
        it: attachments, covers and data, never video, audio or subtitles.

    Raises:
        MediaError: video, audio or subtitles in a codec that the container cannot hold.
    """
    targets: dict[int, Stream] = {}
    left_out: list[str] = []
    for stream in container.streams:
        if _is_chapter_track(container, stream):
            continue
        is_data = stream.type not in ("video", "audio", "subtitle") or is_cover(stream)
        target = _add(stream, sink) if not is_data or _may_hold(sink, stream, keeps_data) else None
        if target is None:
            if not is_data:
                raise MediaError(
                    f"{Path(sink.name).suffix} cannot hold {stream.type} in {_codec_name(stream)}: "
                    f"no file was written, {container_remedy(Path(sink.name))}"
                )
            left_out.append(
                f"stream {stream.index} ({stream.type} {_codec_name(stream)}) was left out: the container has no place"
            )
            continue
        _copy_description(container, stream, sink, target, keeps_tags)
        targets[stream.index] = target
    return targets, left_out


def _may_hold(sink: OutputContainer, stream: Stream, keeps_data: bool) -> bool:
    """Return whether to try a cover, attachment or data stream, which not every muxer refuses when it should."""
    if stream.type == "attachment":
        return sink.format.name == "matroska"
    if is_cover(stream):
        return sink.format.name in COVER_FORMATS
    return keeps_data


def _add(stream: Stream, sink: OutputContainer) -> Stream | None:
    """Add a copy of `stream` to the output; returns None where the container cannot hold its codec."""
    try:
        if stream.codec_context is None and stream.type == "subtitle" and stream.name is not None:
            return sink.add_mux_stream(stream.name)
        return sink.add_stream_from_template(stream, opaque=True)
    except (ValueError, AttributeError, av.error.FFmpegError):
        return None


def _copy_description(
    container: InputContainer, stream: Stream, sink: OutputContainer, target: Stream, keeps_tags: bool
) -> None:
    # The muxer writes Matroska's DURATION itself; a copied one would take precedence.
    target.metadata.update({key: value for key, value in stream.metadata.items() if key != "DURATION"})
    target.disposition = stream.disposition
    if not keeps_tags:
        return
    source_formats = set(container.format.name.split(","))
    if sink.format.name == TRANSPORT_STREAM and source_formats == {TRANSPORT_STREAM} and stream.id in FREE_PIDS:
        target.id = stream.id
    if sink.format.name in ISO_FORMATS and source_formats & ISO_FORMATS and target.codec_context is not None:
        try:
            # Some players accept only one of the tags of a codec, such as hvc1 and hev1.
            target.codec_context.codec_tag = stream.codec_context.codec_tag
        except (ValueError, AttributeError):
            return


def _is_chapter_track(container: InputContainer, stream: Stream) -> bool:
    """Return whether an ISO file stores its chapters in this text track; the muxer writes a new one."""
    is_text = stream.type in ("data", "subtitle")
    return is_text and stream.discard == Discard.all and bool(container.chapters())


def _codec_name(stream: Stream) -> str:
    if stream.codec_context is not None:
        return str(stream.codec_context.codec.canonical_name)
    return str(getattr(stream, "name", None) or "an unknown codec")
