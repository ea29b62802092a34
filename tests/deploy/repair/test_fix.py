"""Copies without an offset: times by demuxing both files, payloads to the byte, and the score of the copy."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from coded_clips import Packets, largest_disorder_seconds, of_kind, packets, retimed, unchanged, write_coded_clip
from sync_clips import write_clip

from cavsync.deploy import Bundle, SyncScore, score_file
from cavsync.deploy.repair.fix import fix_file, offset_to_remove
from cavsync.errors import CavsyncError, ConfigError, MediaError

OFFSETS_MS = (80, -80, 300, -300, 1500, -1500)
ONE_MS = Fraction(1, 1000)
AAC_PACKET_SECONDS = Fraction(1024, 48_000)
Clips = Callable[[str], Path]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    folder = tmp_path_factory.mktemp("coded")

    def clip(ending: str) -> Path:
        path = folder / f"clip.{ending}"
        return path if path.exists() else write_coded_clip(path)

    return clip


def relative_moves_ms(before: list[Packets], after: list[Packets]) -> list[float]:
    """Per packet of audio, how much later it lies against the frame than before."""
    shifts = []
    for one, other in zip(of_kind(before, "video"), of_kind(after, "video"), strict=True):
        shifts += [late - early for early, late in zip(one.times, other.times, strict=True)]
    assert max(shifts) - min(shifts) <= ONE_MS
    zero = sum(shifts) / len(shifts)
    return [
        float(late - early - zero) * 1000
        for one, other in zip(of_kind(before, "audio"), of_kind(after, "audio"), strict=True)
        for early, late in zip(one.times, other.times, strict=True)
    ]


@pytest.mark.parametrize("offset_ms", OFFSETS_MS)
@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "ts"])
def test_audio_moves_by_the_offset_and_no_byte_changes(
    clips: Clips, tmp_path: Path, ending: str, offset_ms: int
) -> None:
    source, output = clips(ending), tmp_path / f"out.{ending}"
    with unchanged(source):
        fixed = fix_file(source, output, offset_ms)
    before, after = packets(source), packets(output)
    assert [(stream.kind, stream.codec) for stream in before] == [("video", "h264"), ("audio", "aac")]
    assert before[0].times != sorted(before[0].times), "the clip has no reordered frames"
    moves = relative_moves_ms(before, after)
    assert min(moves) >= offset_ms - 1
    assert max(moves) <= offset_ms + 1
    for one, other in zip(before, after, strict=True):
        assert (one.kind, one.codec, one.payloads) == (other.kind, other.codec, other.payloads)
    # Only the priming of the audio may lie before zero, where it did before.
    assert min(after[0].times) >= 0
    assert min(after[1].times) >= min(Fraction(0), min(before[1].times))
    # The transport stream's muxer keeps the last audio until the end, also where the video goes on.
    assert largest_disorder_seconds(output) < (1.6 if ending == "ts" else 1.1)
    assert fixed.notes == []
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize("offset_ms", OFFSETS_MS)
def test_the_score_of_the_copy_is_zero(bundle: Bundle, tmp_path: Path, offset_ms: int) -> None:
    ending = {80: "mp4", -80: "mov", 300: "ts", -300: "mkv", 1500: "mkv", -1500: "mp4"}[offset_ms]
    source = write_coded_clip(tmp_path / f"in.{ending}", seconds=6.0, audio_offset_ms=offset_ms)
    fixed = fix_file(source, tmp_path / f"out.{ending}", offset_ms, check=lambda path: score_file(path, bundle))
    assert fixed.checked is not None
    assert fixed.checked.summary.score.audio_offset_ms == pytest.approx(0, abs=10)
    assert fixed.checked.summary.score.state == "in_sync"


@pytest.mark.parametrize(("ending", "other"), [("mp4", "mkv"), ("mkv", "mp4"), ("ts", "mov"), ("mov", "ts")])
def test_other_containers_keep_the_relation(
    bundle: Bundle, tmp_path: Path, clips: Clips, ending: str, other: str
) -> None:
    """Priming is told by edit lists in one container, by a codec delay or not at all in another."""
    for offset_ms in (300, -300):
        output = tmp_path / f"{offset_ms}.{other}"
        fix_file(clips(ending), output, offset_ms)
        moves = relative_moves_ms(packets(clips(ending)), packets(output))
        assert moves == pytest.approx([offset_ms] * len(moves), abs=1.01)
        assert score_file(output, bundle).summary.score.audio_offset_ms == pytest.approx(-offset_ms, abs=10)


@pytest.mark.parametrize("offset_ms", [300, -300])
@pytest.mark.parametrize("ending", ["ts", "mp4", "mkv"])
@pytest.mark.parametrize("start", ["both at 10 s", "frame at 10 s", "clock wraps"])
def test_broadcasts_that_start_anywhere(clips: Clips, tmp_path: Path, start: str, ending: str, offset_ms: int) -> None:
    wrap = Fraction(2**33, 90_000) - 2
    seconds = {"both at 10 s": (10, 10), "frame at 10 s": (10, 0), "clock wraps": (wrap, wrap)}[start]
    source = retimed(clips("ts"), tmp_path / "in.ts", video_seconds=seconds[0], audio_seconds=seconds[1])
    output = tmp_path / f"out.{ending}"
    assert fix_file(source, output, offset_ms).notes == []
    before, after = packets(source), packets(output)
    moves = relative_moves_ms(before, after)
    assert moves == pytest.approx([offset_ms] * len(moves), abs=1.01)
    assert min(min(stream.times) for stream in after) >= 0


def test_a_spliced_broadcast_becomes_continuous(clips: Clips, tmp_path: Path) -> None:
    """Three recordings in a row, whose clocks jump back and ahead: each keeps its relation, plus the offset."""
    parts = [
        retimed(clips("ts"), tmp_path / f"{start}.ts", video_seconds=start, audio_seconds=start)
        for start in (40, 5, 90)
    ]
    source = tmp_path / "in.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    fix_file(source, tmp_path / "out.ts", -300)
    before, (video, audio) = packets(clips("ts")), packets(tmp_path / "out.ts")
    assert len(video.times) == 3 * len(before[0].times)
    assert len(audio.times) == 3 * len(before[1].times)
    for part in range(3):
        pieces = [
            Packets(stream.kind, "", stream.times[part * count : (part + 1) * count])
            for stream, count in ((video, len(before[0].times)), (audio, len(before[1].times)))
        ]
        moves = relative_moves_ms(before, pieces)
        # Where two recordings overlap, the first packets of the later one wait for their turn.
        assert moves[len(moves) // 2 :] == pytest.approx([-300] * (len(moves) - len(moves) // 2), abs=1)
    assert max(video.times) - min(video.times) < 11


@pytest.mark.parametrize("offset_ms", [80, -80])
def test_all_audio_streams_move_or_only_the_one_that_was_asked_for(tmp_path: Path, offset_ms: int) -> None:
    source = write_coded_clip(tmp_path / "in.mp4", seconds=1.0, num_audio=4)
    fix_file(source, tmp_path / "all.mp4", offset_ms)
    moves = relative_moves_ms(packets(source), packets(tmp_path / "all.mp4"))
    assert moves == pytest.approx([offset_ms] * len(moves), abs=1)
    fix_file(source, tmp_path / "one.mp4", offset_ms, audio_streams=[2])
    moves = relative_moves_ms(packets(source), packets(tmp_path / "one.mp4"))
    count = len(moves) // 4
    assert moves == pytest.approx([0] * 2 * count + [offset_ms] * count + [0] * count, abs=1)
    with pytest.raises(MediaError, match="4 audio streams, no stream 4: give 0 to 3"):
        fix_file(source, tmp_path / "none.mp4", offset_ms, audio_streams=[4])


def all_scores(**changes: object) -> SyncScore:
    values: dict[str, object] = {
        **dict.fromkeys(("similarity", "within_profile", "reason")),
        **{"time_seconds": 6.0, "window_seconds": 6.0, "offset_resolution_ms": 10.0, "confidence": 0.9},
        **{"audio_offset_ms": 120.0, "suggested_audio_delay_ms": 120.0, "state": "audio_early", "profile": "p"},
    }
    return SyncScore(**{**values, **changes})  # type: ignore[arg-type]


def test_only_an_offset_that_is_trusted_and_constant_is_removed() -> None:
    assert offset_to_remove("a.mp4", all_scores()) == 120
    in_sync = all_scores(state="in_sync", audio_offset_ms=12.0, suggested_audio_delay_ms=12.0)
    assert offset_to_remove("a.mp4", in_sync) is None
    assert offset_to_remove("a.mp4", in_sync, force=True) == 12
    doubtful = all_scores(suggested_audio_delay_ms=None, state="undetermined", reason="silence")
    with pytest.raises(MediaError, match=r"no offset that can be trusted \(silence\): .*--force to remove \+120 ms"):
        offset_to_remove("a.mp4", doubtful)
    assert offset_to_remove("a.mp4", doubtful, force=True) == 120
    varying = all_scores(suggested_audio_delay_ms=None, is_varying=True, reason="it drifts")
    for force in (False, True):
        with pytest.raises(MediaError, match=r"cannot be repaired by one delay \(it drifts\)"):
            offset_to_remove("a.mp4", varying, force=force)
        nothing = all_scores(suggested_audio_delay_ms=None, audio_offset_ms=None)
        with pytest.raises(MediaError, match=r"give --offset-ms$"):
            offset_to_remove("a.mp4", nothing, force=force)


def test_what_cannot_be_done_is_one_sentence_and_leaves_nothing(clips: Clips, tmp_path: Path) -> None:
    good = clips("mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "half.mkv").write_bytes(clips("mkv").read_bytes()[:300])
    (tmp_path / "text.mp4").write_text("This is a letter.\n" * 50)
    mute = write_clip(tmp_path / "mute.mp4", seconds=1.0, tracks=("video",))
    before = sorted(tmp_path.iterdir())
    lossless = write_clip(good.parent / "lossless.mkv", seconds=1.0)
    for source, name, offset_ms, part in (
        (tmp_path / "absent.mp4", "o.mp4", 80, "absent.mp4 is not a file"),
        (tmp_path / "empty.mp4", "o.mp4", 80, "is empty (zero bytes)"),
        (tmp_path / "text.mp4", "o.mp4", 80, "cannot be opened"),
        (tmp_path / "half.mkv", "o.mkv", 80, "half.mkv"),
        (mute, "o.mp4", 80, "lacks audio"),
        (good, "o.xyz", 80, "o.xyz has no ending that names a container"),
        (good, "o.webm", 80, ".webm cannot hold video in h264"),
        (good, "o.mp3", 80, ".mp3 cannot hold video in h264"),
        (lossless, "o.ts", 80, ".ts cannot hold video in ffv1"),
        (lossless, "o.avi", 80, "moves its audio by -80."),
        (good, "no/o.mp4", 80, "cannot be written"),
        (good, "o.mp4", 0, "the offset is 0 ms"),
        (good, "o.mp4", float("nan"), "the offset is nan ms"),
    ):
        with pytest.raises(CavsyncError) as caught:
            fix_file(source, tmp_path / name, offset_ms)
        assert part in str(caught.value)
        assert "\n" not in str(caught.value)
        assert ".cavsync-" not in str(caught.value)
        assert sorted(tmp_path.iterdir()) == before


def test_the_input_is_never_the_output_and_files_are_replaced_only_when_asked(clips: Clips, tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(clips("mp4").read_bytes())
    (tmp_path / "link.mp4").symlink_to(source)
    os.link(source, tmp_path / "hard.mp4")
    with unchanged(source):
        for name in ("in.mp4", "link.mp4", "hard.mp4", "../" + tmp_path.name + "/in.mp4"):
            for overwrite in (False, True):
                with pytest.raises(ConfigError, match="is the input itself"):
                    fix_file(source, tmp_path / name, 80, overwrite=overwrite)
        with pytest.raises(ConfigError, match="is the input itself"):
            fix_file(tmp_path / "link.mp4", source, 80, overwrite=True)
    old = tmp_path / "old.mp4"
    old.write_text("precious")
    with pytest.raises(ConfigError, match="exists already"):
        fix_file(source, old, 80)
    assert old.read_text() == "precious"
    fix_file(source, old, 80, overwrite=True)
    assert len(packets(old)) == 2
    assert (old.stat().st_mode & 0o777) == (0o666 & ~umask())


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_interrupted_anywhere_it_leaves_nothing(clips: Clips, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    old = tmp_path / "old.mp4"
    old.write_text("precious")
    for overwrite, output in ((False, tmp_path / "new.mp4"), (True, old)):
        with pytest.raises(KeyboardInterrupt):
            fix_file(clips("mp4"), output, 80, overwrite=overwrite, on_progress=interrupt)
        with pytest.raises(KeyboardInterrupt):
            fix_file(clips("mp4"), output, 80, overwrite=overwrite, check=interrupt)
        assert list(tmp_path.iterdir()) == [old]
        assert old.read_text() == "precious"


def test_a_file_that_came_to_be_meanwhile_is_kept(clips: Clips, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with pytest.raises(CavsyncError, match="created meanwhile"):
        fix_file(clips("mp4"), output, 80, check=lambda _: output.write_text("another's"))
    assert output.read_text() == "another's"
    assert list(tmp_path.iterdir()) == [output]
