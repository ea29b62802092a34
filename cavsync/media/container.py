"""What FFmpeg opens: a file's container, its one video and one audio track, and what it declares about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error

from cavsync.errors import MediaError


@dataclass(frozen=True)
class MediaInfo:
    """What the container declares. `duration_seconds` is None where it declares nothing (live streams, raw streams)."""

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


def open_file(source: str) -> Any:
    """Open a file, or an address, for reading.

    Raises:
        MediaError: missing, empty, a folder, or nothing that FFmpeg reads.
    """
    path = Path(source)
    if "://" not in source:
        if not path.exists():
            raise MediaError(f"{source} does not exist: give the path of a video file", reason="missing")
        if path.is_dir():
            raise MediaError(f"{source} is a folder: give the path of a video file", reason="missing")
        if path.stat().st_size == 0:
            raise MediaError(f"{source} is empty (zero bytes): give a complete video file", reason="empty")
    try:
        return av.open(source, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            f"{source} cannot be opened as audio-visual media ({reason}): give a complete file that FFmpeg reads",
            reason="unreadable",
        ) from None


def pick_track(containers: list[Any], kind: str, source: str) -> Any:
    """First track of a kind ("video" or "audio") that is no cover frame.

    Raises:
        MediaError: there is none, or its codec has no decoder here.
    """
    every = [track for container in containers for track in container.streams]
    # A cover frame is a video track to FFmpeg, but it never moves.
    tracks = [track for track in every if track.type == kind and not (kind == "video" and _is_cover(track))]
    if not tracks:
        found = ", ".join(sorted({track.type for track in every})) or "nothing"
        raise MediaError(
            f"{source} has no {kind} track (found: {found}): sync needs one video and one audio track",
            reason=f"no_{kind}",
        )
    if tracks[0].codec_context is None:
        raise MediaError(
            f"{source} has a {kind} track in a codec that this FFmpeg cannot decode: convert it",
            reason="unreadable",
        )
    return tracks[0]


def describe(container: Any, video: Any, audio: Any) -> MediaInfo:
    """What a container and its two tracks declare."""
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


def _is_cover(track: Any) -> bool:
    return bool(track.disposition & av.stream.Disposition.attached_pic)
