"""Opening of containers, and the properties that they declare.

Playlists and scripts (HLS, concat, SDP ...) name other files and addresses, which FFmpeg would open. So untrusted files
are opened by `open_confined`, which recognises only containers that hold their own media and disables every protocol.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition, Stream

from cavsync.errors import MediaError
from cavsync.file_names import ffmpeg_path, is_address
from cavsync.media.files import unlistable
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
    if is_address(source):
        return _open(source, source, "that FFmpeg reads")
    require_content(source)
    return _open(ffmpeg_path(source), source, "that FFmpeg reads")


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


def index_remedy(container: InputContainer, source: str) -> str | None:
    """Return the advice for a source of which nothing can be read, where its index may be out of reach."""
    if "mov" in container.format.name.split(",") and not Path(source).is_file():
        return (
            "an MP4 or MOV with its index at the end cannot be read through a pipe or from a server without ranges, so "
            "give the file itself, or move its index to the front (ffmpeg -movflags +faststart)"
        )
    return None


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


def require_content(path: str) -> None:
    """Raise MediaError for a path at which there is no file with content."""
    try:
        found = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise MediaError(f"{path} does not exist: give the path of a video file", reason="missing") from None
    except (OSError, ValueError) as error:
        # Too long a name, a folder that is not the user's, a zero byte.
        raise MediaError(f"{path} cannot be opened ({reason_of(error)}): check the path", reason="unreadable") from None
    if stat.S_ISDIR(found.st_mode):
        try:
            os.scandir(path).close()
        except OSError as error:
            raise MediaError(unlistable(error), reason="unreadable") from error
        raise MediaError(f"{path} is a folder: give the path of a video file", reason="missing")
    if stat.S_ISREG(found.st_mode) and found.st_size == 0:
        raise _empty(path)


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
