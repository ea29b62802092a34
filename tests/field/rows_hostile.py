"""Files that declare more than they hold, change while they play, or hold what no player needs."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from situation import Situation, ffmpeg

HUGE = 0x7FFF_FE00
Write = Callable[[Path, Path], Path]


def remade(name: str, *options: str) -> Callable[[Path, Path], Path]:
    """Return a function that copies the base clip into another container."""

    def write(base: Path, folder: Path) -> Path:
        ffmpeg("-i", base, *options, folder / name)
        return folder / name

    return write


def forged(write: Write, change: Callable[[bytes], bytes]) -> Write:
    """Return a `write` that changes the bytes of what another one writes."""

    def forge(base: Path, folder: Path) -> Path:
        path = write(base, folder)
        before = path.read_bytes()
        after = change(before)
        assert after != before
        path.write_bytes(after)
        return path

    return forge


def with_riff_tag(clip: bytes) -> bytes:
    """A title of 2 GiB before the media."""
    place = clip.index(b"movi") - 8
    return clip[:place] + b"LIST" + struct.pack("<I", HUGE + 12) + b"INFOINAM" + struct.pack("<I", HUGE) + clip[place:]


def with_huge(marker: bytes, offset: int, value: int) -> Callable[[bytes], bytes]:
    """Replace the 32-bit number at `offset` bytes from the first marker."""

    def change(clip: bytes) -> bytes:
        place = clip.index(marker) + offset
        return clip[:place] + struct.pack(">I", value) + clip[place + 4 :]

    return change


def late_sounds(base: Path, folder: Path) -> Path:
    """One sound for 24 s, three of them for 6 s, one again; the clock jumps at both joints."""
    parts = {"one": ("-c", "copy"), "three": ("-map", "0:v", *3 * ("-map", "0:a"), "-c", "copy")}
    for name, options in parts.items():
        loop = ("-stream_loop", "3") if name == "one" else ()
        ffmpeg(*loop, "-i", base, *options, "-f", "mpegts", folder / f"{name}.ts")
    one, three = ((folder / f"{name}.ts").read_bytes() for name in parts)
    (folder / "late.ts").write_bytes(one + three + one)
    return folder / "late.ts"


def padded(size: int) -> Callable[[bytes], bytes]:
    """Append zeros, as a failed download or a preallocated file has."""
    return lambda clip: clip + bytes(size)


MPEG4_AVI = remade("clip.avi", "-c:v", "mpeg4", "-bf", "0", "-q:v", "2", "-c:a", "pcm_s16le")
MP4 = remade("clip.mp4", "-c", "copy", "-metadata", "title=A title that is long enough")
MKV = remade("clip.mkv", "-c", "copy", "-metadata", "title=A title that is long enough")

SITUATIONS = [
    Situation(
        "sounds that begin later and end again",
        late_sounds,
        0.0,
        "2 streams that begin later were not read",
    ),
    Situation("AVI with a title of 2 GiB", forged(MPEG4_AVI, with_riff_tag), 0.0),
    Situation("MP4 with a title of 2 GiB", forged(MP4, with_huge(b"\xa9nam", -4, HUGE)), 0.0),
    Situation("MP4 with a title of 2 GiB in it", forged(MP4, with_huge(b"\xa9nam", 4, HUGE)), 0.0),
    Situation("MP4 with a table of 2^28 samples", forged(MP4, with_huge(b"stsz", 12, 1 << 28)), None, "clip.mp4"),
    Situation("MP4 with a table of 2^30 chunks", forged(MP4, with_huge(b"stco", 8, 1 << 30)), 0.0),
    Situation("MP4 with 2^30 runs of times", forged(MP4, with_huge(b"stts", 8, 1 << 30)), None, "clip.mp4"),
    Situation("MP4 with a movie box of 2 GiB", forged(MP4, with_huge(b"moov", -4, HUGE)), 0.0),
    Situation("MP4 with zeros at its end", forged(MP4, padded(1 << 20)), 0.0),
    Situation("Matroska with zeros at its end", forged(MKV, padded(1 << 20)), 0.0),
]
