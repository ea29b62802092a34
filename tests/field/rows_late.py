"""Files that gain a stream on the way, of which nothing is known when they are opened; a repair copies it."""

from __future__ import annotations

from pathlib import Path

from situation import Repair, Situation, Write, ffmpeg

PART_SECONDS = 6
ONE = ("-map", "0:v", "-map", "0:a")
TWO = (*ONE, "-map", "0:a")
# Whole frames of both fit into the parts, so that the second continues the first.
CODECS = ("-t", str(PART_SECONDS), "-c:v", "mpeg2video", "-q:v", "2", "-bf", "0", "-c:a", "mp2", "-b:a", "192k")
NOTE = "audio track 0 of 2 is scored, not 1"
MOVED = {"audio_streams": [0]}


def joined(name: str, first: tuple[str, ...], second: tuple[str, ...]) -> Write:
    """Return a `write` of the clip with the options `first`, and once more after it with the options `second`."""

    def write(base: Path, folder: Path) -> Path:
        parts = [folder / f"{number}{Path(name).suffix}" for number in range(2)]
        for number, options in enumerate((first, second)):
            ffmpeg("-i", base, *options, "-output_ts_offset", str(10 + number * PART_SECONDS), parts[number])
        path = folder / name
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
        return path

    return write


SECOND_SOUND = joined("clip.ts", (*ONE, *CODECS), (*TWO, *CODECS))
SECOND_PROGRAMME = joined(
    "clip.ts",
    (*ONE, *CODECS, "-program", "program_num=1:st=0:st=1"),
    (*TWO, *CODECS, "-program", "program_num=1:st=0:st=1", "-program", "program_num=2:st=2"),
)

SITUATIONS = [
    Situation("second sound begins late", SECOND_SOUND, 0, NOTE, repair=Repair(moved=(0,), options=MOVED)),
    Situation(
        "second sound begins late, audio late",
        SECOND_SOUND,
        0,
        repair=Repair(offset_ms=-300, moved=(0,), options=MOVED),
    ),
    Situation("second sound begins late, all moved", SECOND_SOUND, 0, repair=Repair()),
    Situation(
        "second sound begins late, to mkv",
        SECOND_SOUND,
        0,
        repair=Repair(".mkv", loses=frozenset({"programmes", "tags"}), moved=(0,), options=MOVED),
    ),
    Situation(
        "second sound begins late, left out",
        SECOND_SOUND,
        0,
        repair=Repair(
            notes="stream 2 .audio. was left out",
            loses=frozenset({"streams", "languages", "stream tags", "dispositions", "programmes"}),
            options={**MOVED, "leave_out": (2,)},
        ),
    ),
    Situation(
        "second programme begins late",
        SECOND_PROGRAMME,
        0,
        repair=Repair(refusal=r"several programmes \(1, 2\).*give --program 1 to copy"),
    ),
]
