"""Files with several tracks: the tracks that a player selects are scored, and a repair moves what was measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from situation import Repair, Situation, converted, ffmpeg

LATE = ("-itsoffset", "0.4", "-i", "CLIP")
BOTH = ("-map", "0:v", "-map", "1:a", "-map", "0:a", "-c", "copy")
OTHERS = r"audio track 1 of 2 is scored, not 0"
FOREIGN = "audio track 0: of programme 7, the picture is of 9"
NO_NOTES = r'"notes": \[\]'
PCM = ("-c:v", "copy", "-c:a", "pcm_s16le")
FOUR = ("-map", "0:v", *("-map", "[q]", "-map", "[r]", "-map", "0:a", "-map", "0:a"))
SILENCE = ("-filter_complex", "[0:a]volume=0,asplit[q][r]")


def with_two_programs(radio: str, television: str) -> Callable[[Path, Path], Path]:
    """Return a `write` of a transport stream with a radio programme, 400 ms late, and one of television."""
    return converted(
        "services.ts",
        *LATE,
        *BOTH,
        *("-program", f"title={radio}:program_num=7:st=1", "-program", f"title={television}:program_num=9:st=0:st=2"),
    )


def with_unknown_codec(number: int) -> Callable[[Path, Path], Path]:
    """Return a `write` of a MOV whose audio track `number` is in a codec that nothing knows."""

    def write(base: Path, folder: Path) -> Path:
        path = folder / "phone.mov"
        ffmpeg("-i", base, "-map", "0:v", "-map", "0:a", "-map", "0:a", *PCM, path)
        parts = path.read_bytes().split(b"sowt")
        assert len(parts) == 3
        marks = [b"sowt", b"sowt"]
        marks[number] = b"zzzz"
        path.write_bytes(parts[0] + marks[0] + parts[1] + marks[1] + parts[2])
        return path

    return write


SITUATIONS = [
    Situation(
        "default is the second",
        converted("clip.mkv", *LATE, *BOTH, "-disposition:a:0", "comment", "-disposition:a:1", "default"),
        0,
        OTHERS,
        repair=Repair(moved=(1,), options={"audio_streams": [1]}),
    ),
    Situation(
        "second enabled in mov",
        converted("clip.mov", *LATE, *BOTH, "-disposition:a:0", "0", "-disposition:a:1", "default"),
        0,
        OTHERS,
    ),
    Situation(
        "no default in mkv is the first",
        converted("clip.mkv", *LATE, *BOTH, "-disposition:a:0", "0", "-disposition:a:1", "0"),
        -400,
        "audio track 0 of 2 is scored, not 1",
    ),
    Situation(
        "audio description first",
        converted(
            "clip.mkv", *LATE, *BOTH, "-disposition:a:0", "default+visual_impaired", "-disposition:a:1", "default"
        ),
        0,
        "visual_impaired",
    ),
    Situation(
        "hearing impaired first",
        converted("clip.mkv", *LATE, *BOTH, "-disposition:a:0", "hearing_impaired", "-disposition:a:1", "0"),
        0,
        OTHERS,
    ),
    Situation("named track", converted("clip.mkv", *LATE, *BOTH), -400, options={"audio_stream": 0}),
    Situation("other named track", converted("clip.mp4", *LATE, *BOTH), 0, options={"audio_stream": "1"}),
    Situation(
        "no such track", converted("clip.mp4", *LATE, *BOTH), None, "no audio track 2: give 0 to 1", {"audio_stream": 2}
    ),
    Situation(
        "no such video", converted("clip.mp4", "-c", "copy"), None, "no video track 1: 0 is", {"video_stream": 1}
    ),
    Situation("radio before television", with_two_programs("Radio", "TV"), 0, OTHERS),
    Situation("programme by number", with_two_programs("Radio", "TV"), 0, NO_NOTES, {"program": 9}),
    Situation(
        "track outside the named programme",
        with_two_programs("Radio", "TV"),
        None,
        "audio track 0 .* does not belong to programme 9: ",
        {"program": 9, "audio_stream": 0},
    ),
    Situation("all tracks of two programmes", with_two_programs("Radio", "TV"), 0, FOREIGN, {"all_audio": True}),
    Situation(
        "all tracks of a programme",
        with_two_programs("Radio", "TV"),
        0,
        NO_NOTES,
        {"all_audio": True, "program": 9},
    ),
    Situation(
        "programme without video", with_two_programs("Radio", "TV"), None, "no video track in that", {"program": 7}
    ),
    Situation("no such programme", with_two_programs("Radio", "TV"), None, "its programmes are 7, 9", {"program": 8}),
    Situation(
        "sound of another programme by name", with_two_programs("Radio", "TV"), -400, FOREIGN, {"audio_stream": 0}
    ),
    Situation("programme in its name", with_two_programs("Program 9", "  Stream #0"), 0, OTHERS),
    Situation("unknown codec second", with_unknown_codec(1), 0, "audio track 1 is left out"),
    Situation("unknown codec first", with_unknown_codec(0), 0, "audio track 0 is left out"),
    Situation("unknown codec named", with_unknown_codec(0), None, "audio track 0 in a codec", {"audio_stream": 0}),
    Situation(
        "silent mono tracks in mxf",
        converted("clip.mxf", *SILENCE, *FOUR, "-c:v", "mpeg2video", "-c:a", "pcm_s16le", "-ar", "48000"),
        0,
        "audio track 0 is skipped, because it is silent",
    ),
    Situation(
        "silent track named",
        converted("clip.mov", *SILENCE, *FOUR, *PCM),
        None,
        "the audio is silent",
        {"audio_stream": 1},
    ),
    Situation("mono tracks mixed", converted("clip.mov", *SILENCE, *FOUR, *PCM), 0, '"2\\+3"', {"audio_stream": "2+3"}),
    Situation(
        "silence mixed with sound", converted("clip.mkv", *SILENCE, *FOUR, *PCM), 0, options={"audio_stream": "0+2"}
    ),
    Situation(
        "opposite phase",
        converted("clip.mov", "-af", "pan=stereo|c0=c0|c1=-1*c0", *PCM),
        0,
        "in opposite phase and cancel in a mix",
    ),
    Situation(
        "opposite phase with noise in one",
        converted("clip.mkv", "-af", "pan=stereo|c0=c0|c1=-0.95*c0", "-c:v", "copy", "-c:a", "flac"),
        0,
        "in opposite phase",
    ),
    Situation("sound on the left only", converted("clip.mkv", "-af", "pan=stereo|c0=c0|c1=0*c0", *PCM), 0),
    Situation(
        "default video is the second",
        converted(
            "clip.mkv",
            *LATE,
            *("-map", "1:v", "-map", "0:v", "-map", "0:a", "-c", "copy"),
            *("-disposition:v:0", "0", "-disposition:v:1", "default"),
        ),
        0,
        "video track 1 of 2 is scored, not 0: --video-stream chooses another",
    ),
    Situation(
        "first video by its number",
        converted("clip.mkv", *LATE, "-map", "1:v", "-map", "0:v", "-map", "0:a", "-c", "copy"),
        400,
        options={"video_stream": 0},
    ),
]
