"""Opening a file that a stranger gave: nothing but this file is read, whatever it says.

Playlists and scripts (HLS, concat, SDP ...) name other files and addresses, and FFmpeg would open them. So only
containers that hold their own media are recognised, and no protocol is left to open anything else with.
"""

from __future__ import annotations

from typing import IO, Any

import av
import av.error

from cavsync.errors import MediaError

CONTAINERS = ("mov", "mp4", "matroska", "webm", "mpegts", "mpeg", "avi", "flv", "mxf", "ogg", "asf", "nut")
# Larger than 8K; a frame of this size takes 106 MB as RGB.
MAX_FRAME_PIXELS = 8192 * 4320


def open_confined(name: str, file: IO[bytes]) -> Any:
    """An opened PyAV container over the seekable `file`; `name` is what messages call it.

    Raises:
        MediaError: empty, or none of `CONTAINERS`.
    """
    if file.seek(0, 2) == 0:
        raise MediaError(f"{name} is empty (zero bytes): give a complete video file", reason="empty")
    file.seek(0)
    rules = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none"}
    try:
        return av.open(file, metadata_errors="replace", container_options=rules)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            f"{name} cannot be opened as audio-visual media ({reason}): give a complete file in one of these "
            f"containers: {', '.join(CONTAINERS)}",
            reason="unreadable",
        ) from None


def limit_frames(track: Any) -> None:
    """Have the decoder refuse frames of more than `MAX_PICTURE_PIXELS`, also in the middle of the file."""
    track.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
