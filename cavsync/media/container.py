"""Opening of containers, choice of their video and audio track, and the properties that they declare.

Playlists and scripts (HLS, concat, SDP ...) name other files and addresses, which FFmpeg would open. So untrusted files
are opened by `open_confined`, which recognises only containers that hold their own media and disables every protocol.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition, Stream

from cavsync.errors import MediaError
from cavsync.media.frame_times import forbid_guesses

CONFINED_CONTAINERS = ("mov", "mp4", "matroska", "webm", "mpegts", "mpeg", "avi", "flv", "mxf", "ogg", "asf", "nut")


@dataclass(frozen=True)
class MediaInfo:
    """Properties that the container declares; live and raw streams declare no duration (None)."""

    container: str
    duration_seconds: float | None
    start_seconds: float
    video_codec: str
    width: int
    height: int
    frame_rate_hz: float | None
    audio_codec: str
    audio_rate_hz: int
    audio_channels: int
    decoder: str


def open_file(source: str) -> InputContainer:
    """Open a file, or an address that FFmpeg knows, for reading.

    Raises:
        MediaError: `source` is missing, empty, a folder, or not readable by FFmpeg.
    """
    path = Path(source)
    if "://" not in source:
        if not path.exists():
            raise MediaError(f"{source} does not exist: give the path of a video file", reason="missing")
        if path.is_dir():
            raise MediaError(f"{source} is a folder: give the path of a video file", reason="missing")
        if path.stat().st_size == 0:
            raise _empty(source)
    return _open(source, source, "that FFmpeg reads")


def open_confined(name: str, file: IO[bytes]) -> InputContainer:
    """Open the seekable, untrusted `file` without access to any other file or address; messages call it `name`.

    Raises:
        MediaError: the file is empty, or in none of `CONFINED_CONTAINERS`.
    """
    if file.seek(0, 2) == 0:
        raise _empty(name)
    file.seek(0)
    rules = {"format_whitelist": ",".join(CONFINED_CONTAINERS), "protocol_whitelist": "none"}
    wanted = f"in one of these containers: {', '.join(CONFINED_CONTAINERS)}"
    return _open(file, name, wanted, container_options=rules)


def pick_tracks(containers: Iterable[InputContainer], source: str) -> tuple[av.VideoStream, av.AudioStream]:
    """Return the first video track that is not a cover image, and the first audio track.

    Raises:
        MediaError: one of them is missing, or this FFmpeg has no decoder for its codec.
    """
    tracks = [track for container in containers for track in container.streams]
    # To FFmpeg a cover image is a video track with a single frame.
    video = [track for track in tracks if isinstance(track, av.VideoStream) and not is_cover(track)]
    audio = [track for track in tracks if isinstance(track, av.AudioStream)]
    found = ", ".join(sorted({track.type for track in tracks})) or "nothing"
    for kind, of_kind in (("video", video), ("audio", audio)):
        if not of_kind:
            raise MediaError(
                f"{source} has no {kind} track (found: {found}): sync needs one video and one audio track",
                reason=f"no_{kind}",
            )
        if of_kind[0].codec_context is None:
            raise MediaError(
                f"{source} has a {kind} track in a codec that this FFmpeg cannot decode: convert it",
                reason="unreadable",
            )
    return video[0], audio[0]


def describe(container: InputContainer, video: av.VideoStream, audio: av.AudioStream) -> MediaInfo:
    """Return the properties that a container and its two tracks declare."""
    rate = video.average_rate or video.guessed_rate
    return MediaInfo(
        container=container.format.name,
        duration_seconds=None if container.duration is None else container.duration / av.time_base,
        start_seconds=0.0 if container.start_time is None else container.start_time / av.time_base,
        video_codec=video.codec_context.name,
        width=video.codec_context.width,
        height=video.codec_context.height,
        frame_rate_hz=None if rate is None else float(rate),
        audio_codec=audio.codec_context.name,
        audio_rate_hz=audio.codec_context.sample_rate,
        audio_channels=audio.codec_context.channels,
        decoder="libavcodec " + ".".join(str(part) for part in av.library_versions["libavcodec"]),
    )


def is_cover(track: Stream) -> bool:
    """Return whether a video track is a cover image."""
    return bool(track.disposition & Disposition.attached_pic)


def reason_of(error: Exception) -> str:
    """Return the text of an error of FFmpeg or the operating system, without numbers and paths where it has one."""
    return getattr(error, "strerror", None) or str(error)


def _empty(name: str) -> MediaError:
    return MediaError(f"{name} is empty (zero bytes): give a complete video file", reason="empty")


def _open(source: str | IO[bytes], name: str, wanted: str, **options: Any) -> InputContainer:
    try:
        container: InputContainer = av.open(source, metadata_errors="replace", **options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{name} cannot be opened as audio-visual media ({reason_of(error)}): give a complete file {wanted}",
            reason="unreadable",
        ) from None
    forbid_guesses(container)
    return container
