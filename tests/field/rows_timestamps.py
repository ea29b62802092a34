"""Files whose clocks start late, wrap or are missing, and whose pictures are reordered, turned or irregular."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from coded_clips import retimed, write_coded_clip
from situation import Repair, Situation, Write, converted, ffmpeg
from sync_clips import write_clip

X264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")
PCM = ("-c:a", "pcm_s16le")
WRAP_SECONDS = Fraction(2**33, 90_000)


def started(ending: str, seconds: Fraction | int) -> Write:
    """Return a `write` that moves the clock of the base clip to `seconds`."""

    def write(base: Path, folder: Path) -> Path:
        plain = write_coded_clip(folder / f"plain.{ending}", seconds=6.0)
        return retimed(plain, folder / f"clip.{ending}", video_seconds=seconds, audio_seconds=seconds)

    return write


def raw_video(base: Path, folder: Path) -> Path:
    ffmpeg("-i", base, "-map", "0:v", "-c", "copy", folder / "clip.h264")
    return folder / "clip.h264"


def times_of_decoding(base: Path, folder: Path) -> Path:
    """Matroska whose pictures carry their decoding times as presentation times, as careless tools write it."""
    ffmpeg("-i", base, "-c", "copy", "-bsf:v", "setts=pts=DTS", folder / "clip.mkv")
    return folder / "clip.mkv"


def turned(base: Path, folder: Path) -> Path:
    return write_coded_clip(folder / "clip.mp4", seconds=6.0, rotation=90)


def drifting(base: Path, folder: Path) -> Path:
    """The audio of a film at 24 frames/s with pictures at 24/1.001, as a wrong conversion makes it."""
    return write_clip(
        folder / "clip.mp4", seconds=40.0, audio_offset_ms=lambda times: times - 20.0, frame_rate=Fraction(24_000, 1001)
    )


CUT = converted("clip.mp4", "-ss", "0.4", "-i", "CLIP", "-map", "1", "-c", "copy")
WRAPPED = Repair(".mkv", offset_ms=-300, loses=frozenset({"programmes"}))

SITUATIONS = [
    Situation("plain copy", converted("clip.mp4", "-c", "copy"), 0, repair=Repair()),
    Situation("plain copy in mkv", converted("clip.mkv", "-c", "copy"), 0, repair=Repair(offset_ms=-300)),
    Situation("fragmented", converted("clip.mp4", "-c", "copy", "-movflags", "+frag_keyframe+empty_moov"), 0),
    Situation(
        "audio 400 ms late",
        converted("clip.mp4", "-itsoffset", "0.4", "-i", "CLIP", "-map", "0:v", "-map", "1:a", "-c", "copy"),
        -400,
        repair=Repair(offset_ms=-400),
    ),
    Situation(
        "AVI with reordered H.264",
        converted("clip.avi", *X264, "-bf", "3", *PCM),
        0,
        repair=Repair(".mkv", loses=frozenset({"tags"})),
    ),
    Situation("AVI with MPEG audio", converted("clip.avi", *X264, "-bf", "3", "-c:a", "mp2"), 0),
    Situation("AVI without reordered pictures", converted("clip.avi", *X264, "-bf", "0", *PCM), 0),
    Situation("AVI with reordered MPEG-4", converted("clip.avi", "-c:v", "mpeg4", "-bf", "2", *PCM), 0),
    Situation("AVI with reordered MPEG-2", converted("clip.avi", "-c:v", "mpeg2video", "-bf", "2", *PCM), 0),
    Situation(
        "AVI stays AVI",
        converted("clip.avi", *X264, "-bf", "3", *PCM),
        0,
        repair=Repair(refusal="cannot hold this file with these times.*ends in .mkv"),
    ),
    Situation("raw H.264", raw_video, None, "no audio track", repair=Repair(".mkv", refusal="lacks audio")),
    Situation("decoding times as presentation times", times_of_decoding, None, "times that contradict their order"),
    Situation("clock starts at 10 s", started("ts", 10), 0, repair=Repair()),
    Situation("clock wraps at 33 bits", started("ts", WRAP_SECONDS - 2), 0, repair=WRAPPED),
    Situation("edit list hides the start", CUT, 0),
    Situation("turned by 90 degrees", turned, 0, repair=Repair(offset_ms=-300)),
    Situation(
        "variable frame rate",
        converted("clip.mkv", "-vf", "select=not(mod(n\\,7)*mod(n\\,5)-1)+mod(n\\,3)", "-fps_mode", "vfr", *X264, *PCM),
        0,
        repair=Repair(),
    ),
    Situation(
        "open groups of pictures",
        converted("clip.ts", *X264, "-x264-params", "open-gop=1:keyint=12:bframes=3", "-c:a", "copy"),
        0,
        repair=Repair(),
    ),
    Situation("audio drifts by 1001/1000", drifting, 0, '"drift_ms_per_minute": (5[789]|6[012])'),
]
