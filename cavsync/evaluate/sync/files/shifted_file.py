"""A temporary copy of a clip whose audio packets are shifted against its video, without re-encoding anything."""

from __future__ import annotations

from pathlib import Path

from cavsync.deploy.repair.remux import remux
from cavsync.deploy.repair.trace import compare, trace_file
from cavsync.errors import MediaError
from cavsync.media.container import is_cover, open_file

# Their timestamps are counted or wrap, so a copy may not keep a shift; Matroska keeps any to half a millisecond.
RAW_TIME_ENDINGS = frozenset({".avi", ".mpg", ".mpeg", ".vob"})
MATROSKA = ".mkv"


def write_shifted_file(source: Path, folder: Path, audio_offset_ms: float) -> Path:
    """Copy `source` into `folder` with `audio_offset_ms` more (> 0: the audio gets earlier) and return the copy.

    Only timestamps change; streams are delayed, never cut. Only video and audio are copied. The container is that of
    `source` where it holds these times, else Matroska. The times of the packets are compared with the source's. Raises
    MediaError for a clip that cannot be copied so.
    """
    leave_out = _other_streams(source)
    own = source.suffix.lower()
    endings = [MATROSKA] if own in (*RAW_TIME_ENDINGS, MATROSKA) else [own, MATROSKA]
    for ending in endings:
        copy = folder / f"{source.stem}{audio_offset_ms:+.1f}{ending}"
        try:
            # Audio that is early by x has been moved by -x.
            traces, _ = remux(source, copy, audio_delay_ms=-audio_offset_ms, leave_out=leave_out)
            compare(traces, trace_file(copy), copy)
        except MediaError as error:
            if ending == endings[-1]:
                raise MediaError(
                    f"{source} cannot be copied with an offset of {audio_offset_ms:g} ms more ({error}): leave it out",
                    reason=error.reason,
                ) from None
            copy.unlink(missing_ok=True)
        else:
            return copy
    raise AssertionError("the last container either holds the clip or raises")


def _other_streams(source: Path) -> list[int]:
    """Return the indices of what is neither video nor audio."""
    with open_file(str(source)) as container:
        return [track.index for track in container.streams if track.type not in ("video", "audio") or is_cover(track)]
