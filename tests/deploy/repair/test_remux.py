"""What a copy keeps beside the packets, and how its clock treats splices, gaps, hidden starts and missing times."""

from __future__ import annotations

import base64
import zlib
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from coded_clips import of_kind, packets, retimed, write_coded_clip

from cavsync.deploy.repair.fix import fix_file
from cavsync.deploy.repair.packet_clock import PacketClock, Splicer
from cavsync.errors import MediaError

SECOND = Fraction(1)
# Of a transport stream of which FFmpeg says while it is read that nothing is there yet; compressed.
BREAKS_OFF = (
    b"c-nJ!5ENi=`k=zVc#whNKjVJ}#y<_h9)gT)Zf>~+sp%Y|?nQ_99G;)LhauMC{~!bI4h#Ye3"
    b">$dCZf9Wpz@W8}Wz+wm0o((CZfDvc3wHZMh7SzVAcCLq0~;4hYF;`+Z__OHQ6;og0stR$vvm"
)


def description(path: Path) -> dict[str, Any]:
    """What players read beside the packets."""
    with av.open(str(path)) as container:
        streams = [
            (
                stream.type,
                stream.codec_context.name,
                stream.codec_context.codec_tag if "mov" in container.format.name else "",
                # The muxer appends a rate to the description of timed text each time.
                stream.codec_context.extradata if stream.type != "subtitle" else b"",
                stream.metadata.get("language", ""),
                int(stream.disposition),
            )
            for stream in container.streams
            if stream.codec_context is not None
        ]
        title = container.metadata.get("title")
        chapters = [
            (chapter["metadata"]["title"], float(chapter["end"] * (chapter["time_base"] or 0)))
            for chapter in container.chapters()
        ]
        rotation = next(container.decode(video=0)).rotation
    return {"streams": streams, "title": title, "chapters": chapters, "rotation": rotation}


def test_a_file_that_breaks_off_while_it_is_examined(tmp_path: Path) -> None:
    source, output = tmp_path / "in.ts", tmp_path / "out.mkv"
    source.write_bytes(zlib.decompress(base64.b85decode(BREAKS_OFF)))
    with pytest.raises(MediaError, match="breaks off"):
        fix_file(source, output, 80.0)
    assert not output.exists()


@pytest.mark.parametrize("scale_ns", [1_000_003, 65_535, 16_777_215])
def test_steps_of_time_that_are_no_round_number(tmp_path: Path, scale_ns: int) -> None:
    """Their fractions do not fit a time base of FFmpeg: such a file is moved in its own steps."""
    source = write_coded_clip(tmp_path / "in.mkv", seconds=1.0)
    content = source.read_bytes()
    place = content.index(b"\x2a\xd7\xb1\x83") + 4
    source.write_bytes(content[:place] + scale_ns.to_bytes(3, "big") + content[place + 3 :])
    fixed = fix_file(source, tmp_path / "out.mkv", 300.0)
    (before, after) = (of_kind(packets(path), "audio")[0].times for path in (source, fixed.output))
    moves = [float(late - early) for early, late in zip(before, after, strict=True)]
    assert max(abs(move - 0.3) for move in moves) < 0.02


@pytest.mark.parametrize("offset_ms", [300, -300])
@pytest.mark.parametrize(
    ("ending", "codec", "tag", "subtitles"),
    [
        ("mp4", "libx264", None, "mov_text"),
        ("mp4", "libx265", "hvc1", None),
        ("mov", "libx264", None, "mov_text"),
        ("mkv", "libx264", None, "subrip"),
    ],
)
def test_all_streams_and_descriptions_are_kept(
    tmp_path: Path, ending: str, codec: str, tag: str | None, subtitles: str | None, offset_ms: int
) -> None:
    source = write_coded_clip(
        tmp_path / f"in.{ending}",
        seconds=2.0,
        codecs=(codec, "aac"),
        tag=tag,
        num_audio=2,
        rotation=90,
        subtitles=subtitles,
        chapters=True,
    )
    output = tmp_path / f"out.{ending}"
    assert fix_file(source, output, offset_ms).notes == []
    before, after = description(source), description(output)
    assert after["streams"] == before["streams"]
    assert (after["title"], after["rotation"]) == ("Grüße", 90)
    assert tag is None or after["streams"][0][2] == tag
    late_seconds = 0 if offset_ms > 0 else 0.3
    assert [title for title, _ in after["chapters"]] == ["part 0", "part 1"]
    assert [end for _, end in after["chapters"]] == pytest.approx([1 + late_seconds, 2 + late_seconds])
    for one, other in zip(of_kind(packets(source), "subtitle"), of_kind(packets(output), "subtitle"), strict=True):
        starts = [
            {payload: time for payload, time in zip(text.payloads, text.times, strict=True) if len(payload) > 2}
            for text in (one, other)
        ]
        assert starts[0].keys() == starts[1].keys()
        assert len(starts[0]) == 2
        for payload, time in starts[0].items():
            assert float(starts[1][payload] - time) == pytest.approx(late_seconds, abs=0.001)


def test_numbers_of_packets_stay_in_a_transport_stream(tmp_path: Path) -> None:
    source = write_coded_clip(tmp_path / "in.ts", seconds=1.0, num_audio=3)
    fix_file(source, tmp_path / "out.ts", 80)
    with av.open(str(source)) as before, av.open(str(tmp_path / "out.ts")) as after:
        assert [stream.id for stream in before.streams] == [stream.id for stream in after.streams]


@pytest.mark.parametrize("codecs", [("libvpx", "libopus"), ("libx264", "libopus"), ("libx264", "flac")])
def test_priming_of_other_codecs_does_not_count(tmp_path: Path, codecs: tuple[str, str]) -> None:
    ending = "webm" if codecs[0] == "libvpx" else "mkv"
    source = write_coded_clip(tmp_path / f"in.{ending}", seconds=1.0, codecs=codecs)
    for offset_ms in (80, -80):
        fix_file(source, tmp_path / f"out.{ending}", offset_ms, overwrite=True)
        before, after = packets(source), packets(tmp_path / f"out.{ending}")
        relation = [float(min(pair[1].times) - min(pair[0].times)) for pair in (before, after)]
        assert relation[1] - relation[0] == pytest.approx(offset_ms / 1000, abs=0.001)
        assert [stream.payloads for stream in before] == [stream.payloads for stream in after]


def test_a_video_whose_start_is_hidden(tmp_path: Path) -> None:
    """The edit list of the video stays where only the audio moves; where it cannot stay, a note says so."""
    clip = write_coded_clip(tmp_path / "clip.mp4")
    source = retimed(clip, tmp_path / "in.mp4", video_seconds=-1, audio_seconds=0)
    before = packets(source)
    assert min(before[0].times) == -1
    for offset_ms, ending, start_seconds, num_notes in ((80, "mp4", -1, 0), (-310, "mp4", 0.31, 1), (80, "mkv", 0, 1)):
        output = tmp_path / f"out.{ending}"
        fixed = fix_file(source, output, offset_ms, overwrite=True)
        after = packets(output)
        assert float(min(after[0].times)) == pytest.approx(start_seconds)
        relation = [float(min(pair[1].times) - min(pair[0].times)) for pair in (before, after)]
        assert relation[1] - relation[0] == pytest.approx(offset_ms / 1000, abs=0.001)
        assert len(fixed.notes) == num_notes
        assert all(f"shows 1000 ms of video that {source.name} hides" in note for note in fixed.notes)


def test_a_file_that_was_cut_off_is_copied_with_a_word(tmp_path: Path) -> None:
    whole = write_coded_clip(tmp_path / "whole.mkv", seconds=6.0)
    source = tmp_path / "in.mkv"
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (note,) = fix_file(source, tmp_path / "out.mkv", 80).notes
    assert note.startswith(f"{source.name} was cut off (it ends after")
    assert "of the 6.0 s" in note


def test_mpeg_audio_has_one_name_in_mp4(tmp_path: Path) -> None:
    source = write_coded_clip(tmp_path / "in.mkv", seconds=1.0, codecs=("libx264", "mp2"))
    assert fix_file(source, tmp_path / "out.mp4", 80).notes == []


def spliced(times: list[tuple[int, str, float]]) -> list[float]:
    """Continuous times of packets (stream, kind, seconds), each 1 s long."""
    splicer = Splicer()
    return [
        float(Fraction(time) + splicer.offset_seconds(stream, kind, Fraction(time), SECOND))
        for stream, kind, time in times
    ]


def test_streams_cross_a_splice_one_after_another_by_the_same_step() -> None:
    video, audio = (0, "video"), (1, "audio")
    old = [(*video, 100), (*audio, 100), (*video, 101), (*audio, 101)]
    crossing = [(*video, 7), (*audio, 102), (*video, 8), (*audio, 7.25), (*audio, 8.25), (2, "subtitle", 8)]
    assert spliced(old + crossing) == [100, 100, 101, 101, 102, 102, 103, 102.25, 103.25, 103]


def test_silence_is_no_splice_but_a_jump_of_all_is() -> None:
    video, audio = (0, "video"), (1, "audio")
    line = [(*video, float(second)) for second in range(31)]
    assert spliced([(*audio, 0.0), *line, (*audio, 30.0)])[-1] == 30
    assert spliced([(*video, 0), (*audio, 0), (*video, 500), (*audio, 500)]) == [0, 0, 1, 1]


def stamped(clock: PacketClock, pts: int | None, dts: int | None, base: Fraction) -> tuple[Fraction | None, ...]:
    stream = SimpleNamespace(type="video")
    packet = SimpleNamespace(stream_index=0, stream=stream, pts=pts, dts=dts, duration=1, time_base=base)
    clock.stamp(packet)
    return tuple(None if time is None else time * packet.time_base for time in (packet.pts, packet.dts))


def test_delays_are_finer_than_the_units_of_the_input() -> None:
    clock = PacketClock({0: Fraction(30, 1000)}, is_spliced=False)
    assert stamped(clock, 1, 0, Fraction(1, 25)) == (Fraction(70, 1000), Fraction(30, 1000))


def test_missing_and_falling_times_are_made_to_rise() -> None:
    clock = PacketClock({}, is_spliced=False)
    times = [(0, None), (2, 0), (1, None), (4, 0), (None, 9)]
    decoding = [stamped(clock, pts, dts, Fraction(1, 90_000))[1] for pts, dts in times]
    ticks = [None if time is None else time * 90_000 for time in decoding]
    assert ticks == [None, 0, 1, 2, 9]


def test_a_refused_header_leaves_no_file_open(tmp_path: Path) -> None:
    source = write_coded_clip(tmp_path / "in.mkv", seconds=1.0, subtitles="subrip")
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else None
    if before is None:
        pytest.skip("needs /proc")
    for _ in range(20):
        with pytest.raises(MediaError):
            fix_file(source, tmp_path / "out.avi", 80)
        with pytest.raises(MediaError, match="several files"):
            fix_file(source, tmp_path / "out.m3u8", 80)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]
