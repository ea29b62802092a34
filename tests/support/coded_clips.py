"""Write clips in H.264 with reordered frames and AAC to any container, read their packets, shift their times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from sync_clips import make_audio, make_frames

RATE_HZ = 48_000
FRAME_RATE_HZ = 25


@dataclass
class Packets:
    """One stream of a container: presentation times in seconds and payloads, in file order."""

    kind: str
    codec: str
    times: list[Fraction] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)


def packets(path: Path) -> list[Packets]:
    """Return every stream with all of its packets."""
    with av.open(str(path)) as container:
        streams = [
            Packets(stream.type, "" if stream.codec_context is None else stream.codec_context.name)
            for stream in container.streams
        ]
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                streams[packet.stream_index].times.append(packet.pts * packet.time_base)
                streams[packet.stream_index].payloads.append(bytes(packet))
    return streams


def of_kind(streams: list[Packets], kind: str) -> list[Packets]:
    return [stream for stream in streams if stream.kind == kind]


def largest_disorder_seconds(path: Path) -> float:
    """Return how far, in the byte order of the file, a packet's time lies behind that of an earlier packet."""
    latest, worst = Fraction(-(10**9)), Fraction(0)
    with av.open(str(path)) as container:
        found = [
            (packet.pos, packet.dts * packet.time_base)
            for packet in container.demux()
            if packet.pos is not None and packet.dts is not None
        ]
    for _, time in sorted(found):
        worst, latest = max(worst, latest - time), max(latest, time)
    return float(worst)


def write_coded_clip(
    path: Path,
    *,
    seconds: float = 3.0,
    audio_offset_ms: float = 0.0,
    codecs: tuple[str, str] = ("libx264", "aac"),
    tag: str | None = None,
    num_audio: int = 1,
    rotation: int = 0,
    subtitles: str | None = None,
    chapters: bool = False,
) -> Path:
    """Write a clip; `subtitles` is a codec, with lines at 0 and 1 s. Audio stream n is offset by n * 40 ms more."""
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Grüße"
        video: Any = container.add_stream(codecs[0], rate=FRAME_RATE_HZ)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        if codecs[0] == "libx265":
            video.options = {"x265-params": "log-level=none"}
        if tag is not None:
            video.codec_context.codec_tag = tag
        if rotation:
            video.set_display_rotation(rotation)
        audio = [_audio_stream(container, codecs[1], number) for number in range(num_audio)]
        text: Any = None if subtitles is None else container.add_mux_stream(subtitles)
        if chapters:
            container.set_chapters([_chapter(0), _chapter(1)])
        times = np.arange(round(seconds * FRAME_RATE_HZ)) / FRAME_RATE_HZ
        if text is not None:
            _write_lines(container, text, subtitles == "mov_text")
        _encode(container, video, audio, make_frames(times), seconds, audio_offset_ms)
    return path


def _audio_stream(container: Any, codec: str, number: int) -> Any:
    stream = container.add_stream(codec, rate=RATE_HZ)
    stream.layout = "mono"
    stream.metadata["language"] = ("eng", "deu", "fra", "ita")[number % 4]
    stream.disposition = int(number == 1)
    return stream


def _chapter(number: int) -> Any:
    base = Fraction(1, 1000)
    times = {"start": 1000 * number, "end": 1000 * (number + 1), "time_base": base}
    return {"id": number + 1, **times, "metadata": {"title": f"part {number}"}}


def _write_lines(container: Any, stream: Any, has_length: bool) -> None:
    for number, line in enumerate((b"first", b"second")):
        packet = av.Packet(len(line).to_bytes(2, "big") + line if has_length else line)
        packet.pts = packet.dts = 1000 * number
        packet.duration, packet.time_base, packet.stream = 500, Fraction(1, 1000), stream
        container.mux(packet)


def _encode(container: Any, video: Any, audio: list[Any], frames: Any, seconds: float, audio_offset_ms: float) -> None:
    for index, pixels in enumerate(frames):
        image = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        image.pts, image.time_base = index, Fraction(1, FRAME_RATE_HZ)
        container.mux(video.encode(image))
    for number, stream in enumerate(audio):
        samples = make_audio(
            0.0, round(seconds * RATE_HZ), rate_hz=RATE_HZ, audio_offset_ms=audio_offset_ms + 40 * number
        )
        for start in range(0, len(samples), 1024):
            packed = np.round(samples[None, start : start + 1024] * 32767).astype(np.int16)
            frame: Any = av.AudioFrame.from_ndarray(packed, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
            container.mux(stream.encode(frame))
    for stream in (video, *audio):
        container.mux(stream.encode(None))


def retimed(source: Path, target: Path, *, video_seconds: Fraction | int, audio_seconds: Fraction | int) -> Path:
    """Copy a clip with shifted times; negative times become an edit list in MP4 and MOV."""
    with av.open(str(source)) as container, av.open(str(target), "w") as sink:
        streams: dict[int, Any] = {
            stream.index: sink.add_stream_from_template(stream, opaque=True) for stream in container.streams
        }
        for packet in container.demux():
            if packet.size:
                seconds = video_seconds if packet.stream.type == "video" else audio_seconds
                shift = round(Fraction(seconds) / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = streams[packet.stream_index]
                sink.mux(packet)
    return target


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Assert that the block leaves a file's bytes and modification time unchanged."""
    before = path.read_bytes(), path.stat().st_mtime_ns
    yield
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
