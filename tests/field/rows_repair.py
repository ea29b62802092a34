"""Files that hold more than a picture and a sound, all of which a repair keeps, or refuses."""

from __future__ import annotations

from pathlib import Path

from coded_clips import write_coded_clip
from situation import Repair, Situation, Write, converted, ffmpeg

TIMECODE = converted("clip.mov", "-c", "copy", "-timecode", "10:00:00:00")
SERVICE = ("-metadata", "service_name=Test TV", "-metadata", "service_provider=Prov", "-mpegts_service_id", "68")
TWO_PROGRAMMES = ("-i", "CLIP", "-map", "0", "-map", "1", "-c", "copy")
PROGRAMMES = ("-program", "program_num=1:st=0:st=1", "-program", "program_num=2:st=2:st=3")
RADIO_AND_TV = (
    *("-i", "CLIP", "-map", "1:a", "-map", "0:v", "-map", "0:a", "-c", "copy"),
    *("-program", "title=Radio:program_num=7:st=0", "-program", "title=TV:program_num=9:st=1:st=2"),
)
SECOND_PLAYED = (
    *("-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy"),
    *("-disposition:a:0", "0", "-disposition:a:1", "default"),
)
LEFT_OUT = {"leave_out": (2,)}


def unknown_codec(first: int) -> Write:
    """Return a `write` of MOV with two audio tracks, of which track `first` is in a codec that FFmpeg does not know."""

    def write(base: Path, folder: Path) -> Path:
        path = converted("clip.mov", "-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy")(base, folder)
        content = path.read_bytes()
        place = content.index(b"stsd")
        for _ in range(first + 1):
            place = content.index(b"mp4a", content.index(b"stsd", place + 4))
        # Without its description, which names AAC.
        described = content.index(b"esds", place)
        path.write_bytes(
            content[:place] + b"apac" + content[place + 4 : described] + b"free" + content[described + 4 :]
        )
        return path

    return write


def with_cover(ending: str) -> Write:
    def write(base: Path, folder: Path) -> Path:
        cover, path = folder / "cover.png", folder / f"clip.{ending}"
        ffmpeg("-i", base, "-frames:v", "1", cover)
        if ending == "mkv":
            ffmpeg("-i", base, "-c", "copy", "-attach", cover, "-metadata:s:t", "mimetype=image/png", path)
        else:
            options = ("-map", "0", "-map", "1", "-c", "copy", "-disposition:v:1", "attached_pic")
            ffmpeg("-i", base, "-i", cover, *options, path)
        return path

    return write


def with_font(base: Path, folder: Path) -> Path:
    (folder / "font.ttf").write_bytes(bytes(range(256)) * 8)
    attached = ("-attach", folder / "font.ttf", "-metadata:s:t", "mimetype=application/x-truetype-font")
    ffmpeg("-i", base, "-c", "copy", *attached, folder / "clip.mkv")
    return folder / "clip.mkv"


def with_chapters(ending: str) -> Write:
    def write(base: Path, folder: Path) -> Path:
        parts = "".join(
            f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={3000 * part}\nEND={3000 * part + 3000}\ntitle=part {part}\n"
            for part in range(2)
        )
        (folder / "parts.txt").write_text(f";FFMETADATA1\ntitle=Grüße\n{parts}")
        path = folder / f"clip.{ending}"
        ffmpeg("-i", base, "-i", folder / "parts.txt", "-map_metadata", "1", "-map_chapters", "1", "-c", "copy", path)
        return path

    return write


def with_subtitles(base: Path, folder: Path) -> Path:
    (folder / "lines.srt").write_text(
        "1\n00:00:01,000 --> 00:00:02,000\nfirst\n\n2\n00:00:03,000 --> 00:00:04,000\nlast\n"
    )
    options = ("-map", "0", "-map", "1", "-c", "copy", "-metadata:s:s:0", "language=deu", "-disposition:s:0", "forced")
    ffmpeg("-i", base, "-i", folder / "lines.srt", *options, folder / "clip.mkv")
    return folder / "clip.mkv"


def with_data(base: Path, folder: Path) -> Path:
    """A transport stream with private data, as of captions or tracking."""
    (folder / "data.bin").write_bytes(bytes(range(256)) * 8)
    data = ("-f", "data", "-i", folder / "data.bin", "-map", "0", "-map", "1", "-c", "copy")
    ffmpeg("-i", base, *data, folder / "clip.ts")
    return folder / "clip.ts"


LINES = "1\n00:00:01,000 --> 00:00:02,000\nfirst\n\n2\n00:00:03,000 --> 00:00:04,000\nlast\n"
PLAIN = converted("clip.mp4", "-c", "copy")
COMMENTARY = (
    *("-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy", "-disposition:a:0", "default"),
    *("-disposition:a:1", "comment", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "title=Commentary"),
)

SITUATIONS = [
    Situation("time codes", TIMECODE, 0, repair=Repair()),
    Situation(
        "time codes and late audio", TIMECODE, 0, repair=Repair(offset_ms=-300, refusal="time codes.*--leave-out 2")
    ),
    Situation("time codes to mkv", TIMECODE, 0, repair=Repair(".mkv", refusal="time codes.*give --leave-out 2")),
    Situation(
        "time codes left out",
        TIMECODE,
        0,
        repair=Repair(
            offset_ms=-300,
            notes="stream 2 .* was left out",
            loses=frozenset({"streams", "languages", "stream tags", "dispositions"}),
            options=LEFT_OUT,
        ),
    ),
    Situation(
        "unknown codec in a copy", unknown_codec(1), 0, repair=Repair(refusal="does not know.*give --leave-out 2")
    ),
    Situation(
        "unknown codec in a copy to mkv", unknown_codec(1), 0, repair=Repair(".mkv", refusal="give --leave-out 2")
    ),
    Situation(
        "unknown codec left out",
        unknown_codec(1),
        0,
        repair=Repair(
            notes="stream 2 .* was left out",
            loses=frozenset({"streams", "languages", "stream tags", "dispositions"}),
            options=LEFT_OUT,
        ),
    ),
    Situation("service of a transport stream", converted("clip.ts", "-c", "copy", *SERVICE), 0, repair=Repair()),
    Situation(
        "service to mp4",
        converted("clip.ts", "-c", "copy", *SERVICE),
        0,
        repair=Repair(".mp4", notes="Test TV", loses=frozenset({"programmes", "languages", "dispositions"})),
    ),
    Situation(
        "two programmes",
        converted("clip.ts", *TWO_PROGRAMMES, *PROGRAMMES),
        0,
        repair=Repair(refusal=r"several programmes \(1, 2\).*give --program 1 or --program 2 to copy"),
    ),
    Situation(
        "two programmes, of which one has the picture",
        converted("clip.ts", *RADIO_AND_TV),
        0,
        repair=Repair(refusal=r"several programmes \(7, 9\).*give --program 9 to copy that one"),
    ),
    Situation(
        "one of two programmes",
        converted("clip.ts", *RADIO_AND_TV),
        0,
        repair=Repair(
            notes="stream 0 .* was left out",
            moved=(0,),
            loses=frozenset({"streams", "languages", "stream tags", "dispositions", "programmes"}),
            options={"leave_out": (0,)},
        ),
    ),
    Situation(
        "picture that webm cannot hold",
        PLAIN,
        0,
        repair=Repair(
            ".webm", refusal=r"video in h264 \(stream 0\): no file was written, give an OUTPUT that ends in .mkv$"
        ),
    ),
    Situation(
        "picture that mkv cannot hold",
        converted("clip.flv", "-c:v", "flv", "-q:v", "2", "-c:a", "copy"),
        0,
        repair=Repair(".mkv", refusal=r"video in flv1 .*: no file was written, give an OUTPUT that ends in .flv$"),
    ),
    Situation(
        "picture whose header is outside, to ts",
        converted("clip.mp4", "-c:v", "mpeg4", "-q:v", "2", "-c:a", "copy"),
        0,
        repair=Repair(".ts", refusal="no place for the header of video in mpeg4, .*ends in .mkv$"),
    ),
    Situation(
        "picture whose header is inside, to ts",
        converted("clip.avi", "-c:v", "mpeg4", "-q:v", "2", "-c:a", "ac3"),
        0,
        repair=Repair(".ts", notes="title", loses=frozenset({"tags", "programmes"})),
    ),
    Situation(
        "data without a time to mkv", with_data, 0, repair=Repair(".mkv", refusal="bin_data.*give --leave-out 2")
    ),
    Situation("subtitle with flags to mp4", with_subtitles, 0, repair=Repair(".mp4", refusal="--leave-out 2")),
    Situation(
        "commentary to mov",
        converted("clip.mkv", *COMMENTARY),
        0,
        repair=Repair(".mov", notes="audio track 1: comment", loses=frozenset({"dispositions", "stream tags"})),
    ),
    Situation(
        "languages and titles to ts",
        converted("clip.mkv", *COMMENTARY),
        0,
        repair=Repair(
            ".ts",
            notes="lacks what .ts has no place for: .*audio track 1: title, comment",
            loses=frozenset({"dispositions", "languages", "stream tags", "tags", "programmes"}),
        ),
    ),
    Situation(
        "default is the second, to ts",
        converted("clip.mkv", *SECOND_PLAYED),
        0,
        repair=Repair(".ts", refusal="the flag that makes players choose audio track 1.*--leave-out 1"),
    ),
    Situation("default is the second, to mp4", converted("clip.mkv", *SECOND_PLAYED), 0, repair=Repair(".mp4")),
    Situation(
        "turned picture to ts",
        lambda _, folder: write_coded_clip(folder / "clip.mov", seconds=6.0, rotation=90),
        0,
        repair=Repair(
            ".ts",
            notes="video track 0: Display Matrix: rotation of",
            loses=frozenset({"rotation", "tags", "programmes", "dispositions", "languages"}),
        ),
    ),
    Situation(
        "unknown codec before the repaired track",
        unknown_codec(0),
        0,
        repair=Repair(refusal="does not know.*give --leave-out 1", options={"audio_streams": [1]}),
    ),
    Situation(
        "unknown codec first, left out",
        unknown_codec(0),
        0,
        repair=Repair(
            notes="stream 1 .* was left out",
            moved=(0, 1),
            loses=frozenset({"streams", "languages", "stream tags", "dispositions"}),
            options={"audio_streams": [1], "leave_out": (1,)},
        ),
    ),
    Situation("cover in mkv", with_cover("mkv"), 0, repair=Repair()),
    Situation("cover in mp4", with_cover("mp4"), 0, repair=Repair(offset_ms=-300)),
    Situation("cover to ts", with_cover("mkv"), 0, repair=Repair(".ts", refusal="cannot hold a cover.*--leave-out 2")),
    Situation("font", with_font, 0, repair=Repair()),
    Situation("font to mp4", with_font, 0, repair=Repair(".mp4", refusal="cannot hold attachment.*--leave-out 2")),
    Situation("chapters in mkv", with_chapters("mkv"), 0, repair=Repair(offset_ms=-300)),
    Situation("chapters in mp4", with_chapters("mp4"), 0, repair=Repair()),
    Situation("chapters to ts", with_chapters("mkv"), 0, repair=Repair(".ts", refusal="cannot hold chapters")),
    Situation("subtitles", with_subtitles, 0, repair=Repair(offset_ms=-300)),
    Situation("commentary", converted("clip.mkv", *COMMENTARY), 0, repair=Repair()),
    Situation("several files as HLS", PLAIN, 0, repair=Repair(".m3u8", refusal="several files")),
    Situation("several files as DASH", PLAIN, 0, repair=Repair(".mpd", refusal="several files")),
    Situation("pictures as files", PLAIN, 0, repair=Repair(".png", refusal="several files")),
]
