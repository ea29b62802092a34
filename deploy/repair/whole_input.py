"""Opening of the file to repair with all of its streams, also those that begin late in it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Stream

from cavsync.deploy.repair.input_packets import input_packets
from cavsync.errors import MediaError
from cavsync.media.container import reason_of, require_content
from cavsync.media.description import num_streams
from cavsync.media.frame_times import forbid_guesses

# FFmpeg looks for streams up to the end of the file, and keeps none of the packets that it reads for that.
WHOLE_FILE = {
    "probesize": str(1 << 60),
    "analyzeduration": str(1 << 60),
    "scan_all_pmts": "1",
    "fflags": "+nobuffer",
}


def open_whole(source: Path) -> InputContainer:
    """Open a file so that `streams` has all that it holds.

    A broadcast that gains a second sound, for example, announces it only then. So the packets of the file are read
    once, without decoding, to see whether there is a stream of which FFmpeg finds nothing when it opens the file.

    Raises:
        MediaError: the file is unreadable or breaks off, or its late streams cannot be found in advance.
    """
    require_content(str(source))
    state = source.stat()
    return _open(source, is_probed=_has_late_streams(source.absolute(), state.st_size, state.st_mtime_ns))


def open_again(container: InputContainer) -> InputContainer:
    """Open the file of `container`, one of `open_whole`, a second time."""
    return _open(Path(container.name), is_probed=bool(container.container_options))


def is_unknown(stream: Stream) -> bool:
    """Return whether nothing but the codec is known of a picture or a sound, because FFmpeg has met no packet of it."""
    if isinstance(stream, av.AudioStream) and stream.codec_context is not None:
        return not (stream.codec_context.channels and stream.codec_context.sample_rate)
    return isinstance(stream, av.VideoStream) and stream.codec_context is not None and not stream.codec_context.width


@lru_cache(maxsize=16)
def _has_late_streams(path: Path, size_bytes: int, modified_ns: int) -> bool:
    """Return whether a file, in the state that size and time of its last change tell, has streams that begin late."""
    del size_bytes, modified_ns
    with _open(path, is_probed=False) as container:
        for _ in input_packets(container):
            pass
        num_found = num_streams(container)
        if num_found <= len(container.streams) and not any(map(is_unknown, container.streams)):
            return False
    with _open(path, is_probed=True) as container:
        num_late = num_found - len(container.streams)
    if num_late > 0:
        raise MediaError(
            f"{path} has streams that begin late ({num_late}), which FFmpeg does not find before it reaches them, so "
            "they cannot be copied: no file was written, convert the file to Matroska first"
        )
    return True


def _open(source: Path, *, is_probed: bool) -> InputContainer:
    options = WHOLE_FILE if is_probed else {}
    try:
        # Metadata that is not UTF-8 is copied byte for byte.
        container = av.open(str(source.absolute()), metadata_errors="surrogateescape", container_options=options)
        if is_probed:
            container.seek(0, unsupported_byte_offset=True)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{source} cannot be opened as media ({reason_of(error)}): give a complete file that FFmpeg reads",
            reason="unreadable",
        ) from None
    forbid_guesses(container)
    return container
