"""The output's streams: copies of the input's with their codec data, tag, language, disposition and number."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import cast

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.stream import Discard, Stream

from cavsync.deploy.repair.input_packets import input_packets
from cavsync.deploy.repair.plan import Plan
from cavsync.deploy.repair.stretch import add_stretched
from cavsync.deploy.repair.whole_input import open_again
from cavsync.errors import MediaError
from cavsync.media.container import is_cover

ISO_FORMATS = frozenset({"mov", "mp4", "ipod", "3gp", "3g2", "ismv", "psp"})
ISO_ENDINGS = frozenset({".mp4", ".mov", ".m4v", ".3gp"})
MATROSKA = "matroska"
COVER_FORMATS = frozenset({"mov", "mp4", "ipod"})
TRANSPORT_STREAM = "mpegts"
# Packet identifiers (PID) available to streams; the muxer puts its own tables at 0x1000.
FREE_PIDS = range(0x20, 0x1FFF)


def container_remedy(output: Path) -> str:
    """Return the advice for an error message about a container that cannot hold the streams as they are."""
    if output.suffix.lower() == ".mkv":
        return "convert INPUT to a container of another kind first"
    return "give an OUTPUT that ends in .mkv"


def _matroska_holds(stream: Stream) -> bool:
    with av.open(BytesIO(), "w", format=MATROSKA) as matroska:
        return stream.type == "attachment" or is_cover(stream) or codec_name(stream) in matroska.supported_codecs


def add_streams(
    container: InputContainer, sink: OutputContainer, plan: Plan, *, keeps_tags: bool = True
) -> dict[int, Stream]:
    """Add a stream to the output for each of the input that is not left out, and attach Matroska's covers.

    Returns:
        Input index -> output stream. Covers that became attachments have none, nor have tracks of chapters and time
        codes, which the muxer writes anew.

    Raises:
        MediaError: a stream that the container cannot hold, or that cannot be copied.
    """
    targets: dict[int, Stream] = {}
    for stream in container.streams:
        if stream.index in plan.left_out or _is_chapter_track(container, stream) or is_rewritten_timecode(stream, sink):
            continue
        if is_cover(stream) and sink.format.name == MATROSKA:
            _attach_cover(stream, sink)
            continue
        if stream.index in plan.stretched and isinstance(stream, av.AudioStream):
            targets[stream.index] = stretched = add_stretched(stream, sink)
            _copy_description(container, stream, sink, stretched, keeps_tags=False)
            continue
        target = _add(stream, sink)
        if target is None:
            raise MediaError(refusal(stream, Path(sink.name), can_lack=plan.can_lack(stream)))
        _copy_description(container, stream, sink, target, keeps_tags=keeps_tags)
        if any("timecode" in container.streams[index].metadata for index in plan.left_out):
            target.metadata.pop("timecode", None)
        targets[stream.index] = target
    return targets


def refusal(stream: Stream, output: Path, *, can_lack: bool) -> str:
    """Return the sentence about a stream that cannot be copied to `output`, with a way out.

    can_lack: whether the copy makes sense without it.
    """
    kind = "a cover" if is_cover(stream) else stream.type
    leave = f"--leave-out {stream.index} to copy the others"
    if stream.type in ("video", "audio") and stream.codec_context is None:
        return (
            f"stream {stream.index} is {kind} in a codec that this FFmpeg does not know, so it cannot be copied to any "
            f"container: no file was written, {f'give {leave}' if can_lack else 'convert it first'}"
        )
    source = Path(stream.container.name)
    ways = []
    if output.suffix.lower() != ".mkv" and _matroska_holds(stream):
        ways.append(container_remedy(output))
    elif source.suffix.lower() != output.suffix.lower() and not can_lack:
        ways.append(f"give an OUTPUT that ends in {source.suffix}")
    if can_lack:
        ways.append(leave if ways else f"give {leave}")
    return (
        f"{output.suffix} cannot hold {kind} in {codec_name(stream)} (stream {stream.index}): no file was written, "
        f"{', or '.join(ways) or 'convert it first'}"
    )


def is_rewritten_timecode(stream: Stream, sink: OutputContainer) -> bool:
    """Return whether the muxer writes this track of time codes anew, from the tag of the video that it belongs to."""
    code = stream.metadata.get("timecode")
    if stream.type != "data" or code is None or sink.format.name not in ISO_FORMATS:
        return False
    return any(track.metadata.get("timecode") == code for track in stream.container.streams.video)


def _attach_cover(stream: Stream, sink: OutputContainer) -> None:
    """Attach a cover image, which FFmpeg reads as a video track of one packet."""
    codec = codec_name(stream)
    kind = "jpeg" if codec == "mjpeg" else codec
    with open_again(cast("InputContainer", stream.container)) as container:
        packet = next(input_packets(container, container.streams[stream.index]), None)
    if packet is None:
        raise MediaError(f"the cover (stream {stream.index}) is empty: give --leave-out {stream.index}")
    name = stream.metadata.get("filename", f"cover.{'jpg' if kind == 'jpeg' else kind}")
    target = sink.add_attachment(name, stream.metadata.get("mimetype", f"image/{kind}"), bytes(packet))
    given = {key: value for key, value in stream.metadata.items() if key not in ("filename", "mimetype", "DURATION")}
    target.metadata.update(given)


def _add(stream: Stream, sink: OutputContainer) -> Stream | None:
    """Add a copy of `stream` to the output; returns None where the container cannot hold its codec."""
    if stream.type == "attachment" and sink.format.name != MATROSKA:
        return None
    if is_cover(stream) and sink.format.name not in COVER_FORMATS:
        return None
    if stream.type == "data" and sink.format.name == MATROSKA:
        return None
    try:
        if stream.codec_context is None and stream.type == "subtitle" and stream.name is not None:
            return sink.add_mux_stream(stream.name)
        return sink.add_stream_from_template(stream, opaque=True)
    except (ValueError, AttributeError, av.error.FFmpegError):
        return None


def _copy_description(
    container: InputContainer, stream: Stream, sink: OutputContainer, target: Stream, *, keeps_tags: bool
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


def codec_name(stream: Stream) -> str:
    """Return the name of a stream's codec for messages."""
    if stream.codec_context is not None:
        return str(stream.codec_context.codec.canonical_name)
    return str(getattr(stream, "name", None) or ("time codes" if "timecode" in stream.metadata else "an unknown codec"))
