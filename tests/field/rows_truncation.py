"""Complete files whose tracks start late or end apart, and files that were really cut off."""

from __future__ import annotations

import struct
from pathlib import Path

from situation import Repair, Situation, Write, converted, ffmpeg


def late_start(base: Path, folder: Path) -> Path:
    """Matroska whose clock starts at 10 s and whose header declares the end on that clock."""
    ffmpeg("-itsoffset", "10", "-i", base, "-c", "copy", "-avoid_negative_ts", "disabled", folder / "clip.mkv")
    return folder / "clip.mkv"


def second_segment(base: Path, folder: Path) -> Path:
    pattern = folder / "part%d.mkv"
    keyframes = ("-c:v", "libx264", "-force_key_frames", "3", "-c:a", "copy")
    ffmpeg("-i", base, *keyframes, "-f", "segment", "-segment_time", "3", pattern)
    return folder / "part1.mkv"


def half(write: Write) -> Write:
    """Return a `write` that keeps the first 60 % of another's file."""

    def cut(base: Path, folder: Path) -> Path:
        path = write(base, folder)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
        return path

    return cut


def flv_of_twice_the_duration(base: Path, folder: Path) -> Path:
    path = converted("clip.flv", "-c", "copy")(base, folder)
    content = path.read_bytes()
    place = content.index(b"\x00\x08duration\x00") + 11
    (seconds,) = struct.unpack_from(">d", content, place)
    path.write_bytes(content[:place] + struct.pack(">d", 2 * seconds) + content[place + 8 :])
    return path


def flv_cut_between_packets(base: Path, folder: Path) -> Path:
    path = converted("clip.flv", "-c", "copy")(base, folder)
    content = path.read_bytes()
    # A header of 9 bytes; then packets of a head of 11 bytes that tells their size, each between two numbers of 4.
    end = 9
    while end < 0.6 * len(content):
        end += 4 + 11 + int.from_bytes(content[end + 5 : end + 8], "big")
    path.write_bytes(content[: end + 4])
    return path


def late_subtitle(ending: str, codec: str) -> Write:
    def write(base: Path, folder: Path) -> Path:
        (folder / "lines.srt").write_text(
            "1\n00:00:01,000 --> 00:00:02,000\nfirst\n\n2\n00:00:30,000 --> 00:00:31,000\nlast\n"
        )
        inputs = ("-i", base, "-i", folder / "lines.srt", "-map", "0", "-map", "1")
        ffmpeg(*inputs, "-c", "copy", "-c:s", codec, folder / f"clip.{ending}")
        return folder / f"clip.{ending}"

    return write


LINES = "1\n00:00:01,000 --> 00:00:02,000\nfirst\n\n2\n00:00:30,000 --> 00:00:31,000\nlast\n"
LIVE = converted("clip.webm", "-c:v", "libvpx", "-c:a", "libopus", "-live", "1")
TONE = ("-f", "lavfi", "-i", "sine=frequency=500:duration=20:sample_rate=48000", "-map", "0", "-map", "1")
FASTSTART = converted("clip.mp4", "-c", "copy", "-movflags", "+faststart")

SITUATIONS = [
    Situation("starts at 10 s in mkv", late_start, 0, repair=Repair()),
    Situation("second segment of mkv", second_segment, 0, repair=Repair(offset_ms=-300)),
    Situation("second audio is longer in mp4", converted("clip.mp4", *TONE, "-c", "copy", "-c:a:1", "aac"), 0),
    Situation("second audio is longer in mkv", converted("clip.mkv", *TONE, "-c", "copy", "-c:a:1", "aac"), 0),
    Situation("subtitle after the end in mkv", late_subtitle("mkv", "copy"), 0, repair=Repair()),
    Situation("subtitle after the end in mp4", late_subtitle("mp4", "mov_text"), 0, repair=Repair()),
    Situation(
        "FLV declares twice its duration",
        flv_of_twice_the_duration,
        0,
        "unless its header is wrong",
        repair=Repair(notes="it was cut off, unless its header is wrong", loses=frozenset({"tags"})),
    ),
    Situation(
        "cut off flv, between two packets",
        flv_cut_between_packets,
        0,
        "the file ends after 3.* s: it was cut off, unless its header is wrong",
        repair=Repair(notes="it was cut off", loses=frozenset({"tags"})),
    ),
    Situation("cut off mp4", half(FASTSTART), None, "truncated", repair=Repair(notes="^clip.mp4 was cut off")),
    Situation("cut off mkv", half(converted("clip.mkv", "-c", "copy")), None, "truncated"),
    Situation("cut off flv", half(converted("clip.flv", "-c", "copy")), None, "truncated"),
    Situation("cut off avi", half(converted("clip.avi", "-c:v", "mpeg4", "-c:a", "pcm_s16le")), None, "truncated"),
    Situation(
        "webm as it is recorded live", converted("clip.webm", "-c:v", "libvpx", "-c:a", "libopus", "-live", "1"), 0
    ),
    Situation("transport stream cut anywhere", half(converted("clip.ts", "-c", "copy")), 0),
]
