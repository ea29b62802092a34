"""The streams of a copy: each with the codec data, tag, language, disposition and number that it had."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from cavsync.errors import MediaError

ISO_FORMATS = frozenset({"mov", "mp4", "ipod", "3gp", "3g2", "ismv", "psp"})
ISO_ENDINGS = frozenset({".mp4", ".mov", ".m4v", ".3gp"})
COVER_FORMATS = frozenset({"mov", "mp4", "ipod", "matroska"})
TRANSPORT_ENDINGS = frozenset({".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".vob"})
CLOCK_LEAD_MS = 700
TRANSPORT_STREAM = "mpegts"
# Numbers of packets (PID) that are free for streams; the muxer's own tables lie at 0x1000.
FREE_PIDS = range(0x20, 0x1FFF)
# In ISO files the edit list that delays a stream counts in this unit; the usual 1/1000 s would round to 1 ms.
MOVIE_TIMESCALE = 90_000
INTERLEAVE_SECONDS = 10


def way_out(output: Path) -> str:
    """What to do where the container cannot hold what it should."""
    return "give an OUTPUT " + ("with the ending of INPUT" if output.suffix.lower() == ".mkv" else "that ends in .mkv")


def muxer_options(container: Any, output: Path, delay_seconds: Fraction) -> dict[str, str]:
    """Options of the muxer: delayed streams are still written side by side, and delays are exact."""
    interleave_seconds = INTERLEAVE_SECONDS + math.ceil(delay_seconds)
    options = {"max_interleave_delta": str(interleave_seconds * 1_000_000)}
    if output.suffix.lower() in TRANSPORT_ENDINGS:
        # The clock runs ahead of what it times, as in FFmpeg's own tool, so that receivers can buffer.
        options["max_delay"] = str(CLOCK_LEAD_MS * 1000)
    if output.suffix.lower() in ISO_ENDINGS:
        options["movie_timescale"] = str(MOVIE_TIMESCALE)
        if any("." in key for key in container.metadata):
            # Cameras write keys such as com.apple.quicktime.location, for which the older table has no place.
            options["movflags"] = "+use_metadata_tags"
    return options


def add_streams(container: Any, sink: Any, *, keeps_tags: bool, keeps_data: bool) -> tuple[dict[int, Any], list[str]]:
    """Give the output a stream for each of the input.

    Returns:
        Input index -> output stream, and a line for each stream that is left out: data that the container has no
        place for, never frame, audio or subtitles.

    Raises:
        MediaError: frame, audio or subtitles in a codec that the container cannot hold.
    """
    targets: dict[int, Any] = {}
    left_out: list[str] = []
    for stream in container.streams:
        if _is_chapter_track(container, stream):
            continue
        is_data = stream.type not in ("video", "audio", "subtitle") or _is_cover(stream)
        target = _added(stream, sink) if not is_data or _may_hold(sink, stream, keeps_data) else None
        if target is None:
            if not is_data:
                raise MediaError(
                    f"{Path(sink.name).suffix} cannot hold {stream.type} in {_codec_name(stream)}: "
                    f"nothing was kept, {way_out(Path(sink.name))}"
                )
            left_out.append(
                f"stream {stream.index} ({stream.type} {_codec_name(stream)}) was left out: no place for it"
            )
            continue
        _copy_description(container, stream, sink, target, keeps_tags)
        targets[stream.index] = target
    return targets, left_out


def _may_hold(sink: Any, stream: Any, keeps_data: bool) -> bool:
    """Whether to try a stream that is neither audio nor moving frame nor text; muxers do not always say."""
    if stream.type == "attachment":
        return bool(sink.format.name == "matroska")
    if _is_cover(stream):
        return sink.format.name in COVER_FORMATS
    return keeps_data


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _added(stream: Any, sink: Any) -> Any:
    """The output stream, or None where the container has no place for this codec."""
    try:
        if stream.codec_context is None and stream.type == "subtitle":
            return sink.add_mux_stream(stream.name)
        return sink.add_stream_from_template(stream, opaque=True)
    except (ValueError, AttributeError, av.error.FFmpegError):
        return None


def _copy_description(container: Any, stream: Any, sink: Any, target: Any, keeps_tags: bool) -> None:
    # Matroska's DURATION is written anew; a stale one would count.
    target.metadata.update({key: value for key, value in stream.metadata.items() if key != "DURATION"})
    target.disposition = stream.disposition
    if not keeps_tags:
        return
    source_formats = set(container.format.name.split(","))
    if sink.format.name == TRANSPORT_STREAM and source_formats == {TRANSPORT_STREAM} and stream.id in FREE_PIDS:
        target.id = stream.id
    if sink.format.name in ISO_FORMATS and source_formats & ISO_FORMATS and target.codec_context is not None:
        try:
            # hvc1 and hev1 are the same codec, but not the same to every player.
            target.codec_context.codec_tag = stream.codec_context.codec_tag
        except (ValueError, AttributeError):
            return


def _is_chapter_track(container: Any, stream: Any) -> bool:
    """ISO files store chapters as a text track too; the muxer writes a new one."""
    is_text = stream.type in ("data", "subtitle")
    return is_text and stream.discard == av.stream.Discard.all and bool(container.chapters())


def _codec_name(stream: Any) -> str:
    if stream.codec_context is not None:
        return str(stream.codec_context.codec.canonical_name)
    return str(getattr(stream, "name", None) or "an unknown codec")
