"""Opening of untrusted files without access to any other file or address.

Playlists and scripts (HLS, concat, SDP ...) name other files and addresses, which FFmpeg would open. So only containers
that hold their own media are recognised, and every protocol is disabled.
"""

from __future__ import annotations

from typing import IO

import av
import av.error
from av.container import InputContainer

from cavsync.errors import MediaError

CONTAINERS = ("mov", "mp4", "matroska", "webm", "mpegts", "mpeg", "avi", "flv", "mxf", "ogg", "asf", "nut")
# A little more than 8K UHD; a frame of this size takes 106 MB as RGB.
MAX_FRAME_PIXELS = 8192 * 4320


def open_confined(name: str, file: IO[bytes]) -> InputContainer:
    """Open the seekable `file` with PyAV; error messages call it `name`.

    Raises:
        MediaError: the file is empty, or in none of `CONTAINERS`.
    """
    if file.seek(0, 2) == 0:
        raise MediaError(f"{name} is empty (zero bytes): give a complete video file", reason="empty")
    file.seek(0)
    rules = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none"}
    try:
        return av.open(file, "r", metadata_errors="replace", container_options=rules)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            f"{name} cannot be opened as audio-visual media ({reason}): give a complete file in one of these "
            f"containers: {', '.join(CONTAINERS)}",
            reason="unreadable",
        ) from None


def limit_frames(track: av.VideoStream) -> None:
    """Make the decoder refuse frames of more than `MAX_FRAME_PIXELS`, also where the size changes mid-file."""
    track.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
