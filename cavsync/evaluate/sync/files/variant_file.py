"""A temporary copy of a clip with its frames changed and encoded again; the packets of its audio are copied."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.container import OutputContainer

from cavsync.errors import MediaError
from cavsync.evaluate.sync.files.swapped_file import Packets, copied_audio, write_in_order
from cavsync.evaluate.sync.files.variants import MAKERS, Frame, Variant
from cavsync.media import MediaReader, VideoFrame
from cavsync.media.container import open_file, reason_of

TIME_BASE = Fraction(1, 90_000)
DECLARED_RATE_HZ = 25
TimedFrame = tuple[float, Frame]


def write_variant_file(source: Path, folder: Path, name: str) -> Path:
    """Write the variant `name` of a clip to a Matroska file in `folder`; frames and audio keep their times.

    Raises MediaError for a clip that cannot be decoded or written.
    """
    variant, out = MAKERS[name](), folder / f"{source.stem}-{name}.mkv"
    try:
        # PyAV leaves a file that it opened itself open when the header is refused.
        with open_file(str(source)) as voice, out.open("wb") as file, av.open(file, "w") as sink:
            frames = _changed(_at_rate(_frames(source), variant.rate_hz), variant)
            first = next(frames, None)
            if first is None:
                raise MediaError(f"{source} has no frame: give a complete file", reason="corrupt")
            video = _encoded(first, frames, variant, sink)
            write_in_order(video, copied_audio(voice, sink), sink)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{source} cannot be written as its variant {name} ({reason_of(error)}): leave it out"
        ) from None
    return out


def _frames(source: Path) -> Iterator[TimedFrame]:
    """Yield (seconds since the clip's start, upright RGB frame)."""
    with MediaReader(source) as reader:
        for item in reader:
            if isinstance(item, VideoFrame):
                yield item.pts_seconds, item.rgb


def _at_rate(frames: Iterable[TimedFrame], rate_hz: int | None) -> Iterator[TimedFrame]:
    """Yield the frame nearest in time at every 1 / rate_hz from the first frame to the last; all where it is None.

    The nearest frame, not the latest, because the latter would show everything later by half a period on average.
    """
    if rate_hz is None:
        yield from frames
        return
    begin = before = None
    count = 0
    for time, frame in frames:
        if begin is None or before is None:
            begin, before = time, (time, frame)
        while begin + count / rate_hz <= time:
            due = begin + count / rate_hz
            yield due, frame if time - due <= due - before[0] else before[1]
            count += 1
        before = (time, frame)


def _changed(frames: Iterable[TimedFrame], variant: Variant) -> Iterator[TimedFrame]:
    begin: float | None = None
    for time, frame in frames:
        begin = time if begin is None else begin
        yield time, _even(variant.change(frame, time - begin))


def _even(frame: Frame) -> Frame:
    """Return a frame with even height and width, as subsampled colours need, its last row and column repeated."""
    height, width = frame.shape[:2]
    return np.ascontiguousarray(np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


def _encoded(first: TimedFrame, others: Iterable[TimedFrame], variant: Variant, sink: OutputContainer) -> Packets:
    stream: Any = sink.add_stream(
        variant.codec, rate=variant.rate_hz or DECLARED_RATE_HZ, options={**dict(variant.options)}
    )
    stream.height, stream.width = first[1].shape[:2]
    stream.pix_fmt = "yuvj420p" if variant.codec == "mjpeg" else "yuv420p"
    stream.codec_context.time_base = TIME_BASE
    return _packets(first, others, stream)


def _packets(first: TimedFrame, others: Iterable[TimedFrame], stream: Any) -> Packets:
    last = -math.inf
    for time, frame in chain([first], others):
        pts = round(time / TIME_BASE)
        if pts <= last:
            continue
        last = pts
        image = av.VideoFrame.from_ndarray(frame, format="rgb24")
        image.pts, image.time_base = pts, TIME_BASE
        for packet in stream.encode(image):
            yield packet.pts * packet.time_base, packet
    for packet in stream.encode(None):
        yield packet.pts * packet.time_base, packet
