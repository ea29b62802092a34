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


def with_byte_lost_each(step: int) -> Callable[[bytes], bytes]:
    """Remove one byte of every `step`, as a bad line does."""
    return lambda clip: b"".join(clip[place : place + step - 1] for place in range(0, len(clip), step))


def with_packets_lost(share: int) -> Callable[[bytes], bytes]:
    """Remove every `share`-th packet of 188 bytes, but for those with the tables in front."""

    def change(clip: bytes) -> bytes:
        packets = [clip[place : place + 188] for place in range(0, len(clip), 188)]
        return b"".join(packet for number, packet in enumerate(packets) if number < 10 or number % share)

    return change


def behind(head: bytes) -> Callable[[bytes], bytes]:
    """Put bytes in front of the file."""
    return lambda clip: head + clip


def of_bytes(name: str, content: bytes) -> Write:
    """Return a `write` of a file that is no media, whatever its name says."""

    def write(base: Path, folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def playlist_of_others(base: Path, folder: Path) -> Path:
    """A script that names another file, by a path that must not be opened through it."""
    (folder / "clip.mp4").write_text(f"ffconcat version 1.0\nfile {base}\n")
    return folder / "clip.mp4"


TS = remade("clip.ts", "-c", "copy")
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
    Situation("MP4 with a clock of 0 ticks", forged(MP4, with_huge(b"mdhd", 16, 0)), None, "clip.mp4"),
    Situation("MP4 of 65535 by 65535 pixels in its header", forged(MP4, with_huge(b"avc1", 28, 0xFFFF_FFFF)), 0.0),
    Situation("MP4 with an edit list of 2^28 entries", forged(MP4, with_huge(b"elst", 8, 1 << 28)), 0.0),
    Situation(
        "MP4 with a box larger than the file in front", forged(MP4, behind(b"\x7f\xff\xff\xfffree")), None, "clip.mp4"
    ),
    Situation("MP4 with text in front", forged(MP4, behind(b"HTTP/1.1 200 OK\r\n\r\n")), None, "clip.mp4"),
    Situation("Matroska with a title of 256 TB", forged(MKV, with_huge(b"\x7b\xa9", 2, 0x0100_FFFF)), 0.0),
    Situation("transport stream with text in front", forged(TS, behind(b"HTTP/1.1 200 OK\r\n\r\n")), 0.0),
    Situation("transport stream that lost one packet of 50", forged(TS, with_packets_lost(50)), 0.0),
    Situation("transport stream that lost a byte of 50,000", forged(TS, with_byte_lost_each(50_000)), 0.0),
    Situation(
        "web page for a video", of_bytes("clip.mp4", b"<!DOCTYPE html><title>Not found</title>" * 99), None, "clip.mp4"
    ),
    Situation("zeros for a video", of_bytes("clip.mp4", bytes(1 << 20)), None, "clip.mp4"),
    Situation("one byte for a video", of_bytes("clip.mkv", b"\x1a"), None, "clip.mkv"),
    Situation("playlist for a video", playlist_of_others, None, "clip.mp4 cannot be opened"),
]
