"""A temporary file with the video of one clip and the audio of another, and copying of audio to a new file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer, OutputContainer

from cavsync.errors import MediaError
from cavsync.media.container import open_file, reason_of
from cavsync.media.packets import read_packets
from cavsync.media.tracks import PLAYED, TrackChoice, pick_tracks

Packets = Iterator[tuple[Fraction, Any]]
# Frames that a codec may hold back, and some more: H.264 and HEVC allow 16.
MAX_REORDERED = 32


def write_swapped_file(video: Path, sound: Path, folder: Path, tracks: TrackChoice = PLAYED) -> Path:
    """Write a video track of one clip and an audio track of another (see `pick_tracks`) to a Matroska file in `folder`.

    Video packets are copied, audio packets too where Matroska holds their codec, and decoded to 16-bit PCM otherwise.
    Each track keeps its times from the start of its own clip. Raises MediaError for clips that cannot be joined.
    """
    out = folder / f"{video.stem}-with-another-sound.mkv"
    for as_pcm in (False, True):
        try:
            # PyAV leaves a file that it opened itself open when the header is refused.
            with (
                open_file(str(video)) as images,
                open_file(str(sound)) as voice,
                out.open("wb") as file,
                av.open(file, "w") as sink,
            ):
                _join(images, voice, sink, tracks, as_pcm=as_pcm)
            return out
        except (av.error.FFmpegError, OSError, ValueError) as error:
            if as_pcm:
                raise MediaError(
                    f"{video} cannot be joined with the sound of {sound} ({reason_of(error)}): leave one of them out"
                ) from None
    raise AssertionError("the second way either joins the clips or raises")


def write_joined_file(video: Path, sound: Path, out: Path) -> None:
    """Write the first video track of one file and the first audio track of another, which need hold nothing else, to
    the Matroska file `out`, both from their start. Raises MediaError for files that cannot be joined."""
    try:
        with (
            open_file(str(video)) as images,
            open_file(str(sound)) as voice,
            out.open("wb") as file,
            av.open(file, "w", format="matroska") as sink,
        ):
            if not images.streams.video or not voice.streams.audio:
                raise MediaError(f"{video} has no video or {sound} no audio: leave them out", reason="no_audio")
            shown, heard = images.streams.video[0], voice.streams.audio[0]
            targets = [sink.add_stream_from_template(track, opaque=True) for track in (shown, heard)]
            write_in_order(_copied(images, shown, targets[0]), _copied(voice, heard, targets[1]), sink)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{video} cannot be joined with the sound {sound} ({reason_of(error)}): leave them out"
        ) from None


def _join(
    images: InputContainer, voice: InputContainer, sink: OutputContainer, tracks: TrackChoice, *, as_pcm: bool
) -> None:
    video = pick_tracks([images], images.name, tracks).video
    target = sink.add_stream_from_template(video, opaque=True)
    sounds = copied_audio(voice, sink, tracks, as_pcm=as_pcm)
    write_in_order(_copied(images, video, target), sounds, sink)


def copied_audio(
    voice: InputContainer, sink: OutputContainer, tracks: TrackChoice = PLAYED, *, as_pcm: bool = False
) -> Packets:
    """Add a copy of an audio track to `sink`; yields (seconds, packet), times from the start of the clip."""
    audio = pick_tracks([voice], voice.name, tracks).audio[0]
    if as_pcm:
        target: Any = sink.add_stream("pcm_s16le", rate=audio.codec_context.sample_rate)
        target.layout = audio.codec_context.layout.name
        return _decoded(voice, audio, target)
    return _copied(voice, audio, sink.add_stream_from_template(audio, opaque=True))


def _copied(container: InputContainer, stream: Any, target: Any) -> Packets:
    start = _start_seconds(container)
    last_dts: int | None = None
    for packet in _with_first_dts(packet for packet in read_packets(container, stream) if packet.size):
        base = packet.time_base
        shift = round(start / base)
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        if last_dts is not None and packet.dts is not None and packet.dts <= last_dts:
            packet.dts = last_dts + 1
        last_dts = packet.dts
        packet.stream = target
        yield (packet.dts or 0) * base, packet


def _with_first_dts(packets: Iterable[Any]) -> Iterator[Any]:
    """Give the first packets the decoding times that Matroska and others leave out where frames are reordered: one tick
    apart, before the first that is known."""
    waiting: list[Any] = []
    for packet in packets:
        if packet.dts is None and len(waiting) < MAX_REORDERED:
            waiting.append(packet)
            continue
        if packet.dts is not None:
            for place, early in enumerate(waiting):
                early.dts = packet.dts - (len(waiting) - place)
        yield from waiting
        waiting = []
        yield packet
    yield from waiting


def _decoded(container: InputContainer, stream: Any, target: Any) -> Packets:
    start = _start_seconds(container)
    frames: Iterator[Any] = (frame for packet in read_packets(container, stream) for frame in packet.decode())
    for frame in frames:
        if frame.pts is None:
            continue
        frame.pts -= round(start / frame.time_base)
        for packet in target.encode(frame):
            yield packet.pts * packet.time_base, packet


def write_in_order(one: Packets, other: Packets, sink: OutputContainer) -> None:
    """Write two streams of packets, each in the order of its times, by time."""
    waiting = [(next(packets, None), packets) for packets in (one, other)]
    while True:
        ready = [(found[0], place) for place, (found, _) in enumerate(waiting) if found is not None]
        if not ready:
            return
        _, place = min(ready)
        found, packets = waiting[place]
        assert found is not None
        sink.mux_one(found[1])
        waiting[place] = (next(packets, None), packets)


def _start_seconds(container: InputContainer) -> Fraction:
    return Fraction(container.start_time or 0, av.time_base)
