"""Copies without an offset lose nothing, as an independent reader sees it, and their score is right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from coded_clips import unchanged
from probe import Probe, StreamProbe, probe
from situation import Repair, Situation, all_situations

from cavsync.deploy import Bundle, score_file
from cavsync.deploy.repair.fix import fix_file
from cavsync.errors import CavsyncError

REPAIRED = [situation for situation in all_situations() if situation.repair is not None]
SCORE_TOLERANCE_MS = 10.0
# Containers with a time base of a millisecond round two streams by half of it each, input and output.
TIME_TOLERANCE_MS = 2.0


@pytest.mark.parametrize("situation", REPAIRED, ids=lambda situation: situation.name)
def test_repair(situation: Situation, base: Path, bundle: Bundle, tmp_path: Path) -> None:
    repair = situation.repair
    assert repair is not None
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    source = situation.write(base, tmp_path / "in")
    output = tmp_path / "out" / f"copy{repair.ending or source.suffix}"
    with unchanged(source):
        notes, refusal = fixed(source, output, repair)
    if repair.refusal is not None:
        assert refusal is not None, f"nothing was refused; notes: {notes}"
        assert re.search(repair.refusal, refusal), refusal
        assert "\n" not in refusal
        assert list((tmp_path / "out").iterdir()) == []
        return
    assert refusal is None, refusal
    assert list((tmp_path / "out").iterdir()) == [output]
    assert (notes == []) if repair.notes is None else re.search(repair.notes, "\n".join(notes)), notes
    compare(probe(source), probe(output), repair, keeps_bytes=source.suffix == output.suffix)
    if situation.offset_ms is not None:
        score = score_file(output, bundle, **situation.options).summary.score  # type: ignore[arg-type]
        expected_ms = situation.offset_ms - repair.offset_ms
        assert score.audio_offset_ms == pytest.approx(expected_ms, abs=SCORE_TOLERANCE_MS)


def fixed(source: Path, output: Path, repair: Repair) -> tuple[list[str], str | None]:
    """Return the notes about the copy; or none and the refusal."""
    try:
        return fix_file(source, output, repair.offset_ms, **repair.options).notes, None  # type: ignore[arg-type]
    except CavsyncError as error:
        return [], str(error)


def compare(before: Probe, after: Probe, repair: Repair, *, keeps_bytes: bool) -> None:
    one, other = before.outline(), after.outline()
    for name in one.keys() - repair.loses:
        assert other[name] == one[name], name
    if not repair.loses:
        assert [stream.kind for stream in after.streams] == [stream.kind for stream in before.streams]
    # Late audio is corrected by delaying all else.
    has_times = None not in before.of("video")[0].times_ms
    video_delay_ms, audio_delay_ms = max(0.0, -repair.offset_ms), max(0.0, repair.offset_ms)
    zero_ms = _first_move_ms(before, after) - video_delay_ms
    for kind in ("video", "audio", "subtitle"):
        for number, (early, late) in enumerate(zip(before.of(kind), after.of(kind), strict=False)):
            is_moved = kind == "audio" and (repair.moved is None or number in repair.moved)
            delay_ms = zero_ms + (audio_delay_ms if is_moved else video_delay_ms)
            _compare_packets(early, late, delay_ms if has_times else None, keeps_bytes=keeps_bytes)
    for (_, start_ms, _), (_, moved_ms, _) in zip(before.chapters, after.chapters, strict=True):
        assert moved_ms == pytest.approx(start_ms + zero_ms + video_delay_ms, abs=TIME_TOLERANCE_MS)


def _first_move_ms(before: Probe, after: Probe) -> float:
    """Return by how much the video starts later; 0 where the input holds no presentation times."""
    early, late = before.of("video")[0].times_ms, after.of("video")[0].times_ms
    if None in early:
        return 0.0
    return min(time for time in late if time is not None) - min(time for time in early if time is not None)


def _compare_packets(early: StreamProbe, late: StreamProbe, delay_ms: float | None, *, keeps_bytes: bool) -> None:
    label = f"{early.kind} in {early.codec}"
    if early.kind == "subtitle":
        # Containers fill the gaps between lines in different ways, so packets are found by their text.
        places = dict(zip(late.payloads, late.times_ms, strict=True))
        lines = zip(early.payloads, early.times_ms, strict=True)
        pairs = [(time, places[text]) for text, time in lines if early.payloads.count(text) == 1]
    else:
        assert not keeps_bytes or late.payloads == early.payloads, label
        pairs = list(zip(early.times_ms, late.times_ms, strict=True))
    for time, moved in pairs:
        if time is not None and moved is not None and delay_ms is not None:
            assert moved == pytest.approx(time + delay_ms, abs=TIME_TOLERANCE_MS), label
    if early.kind == "video" and "attached_pic" not in early.disposition:
        shown = [time for time in late.times_ms if time is not None]
        assert len(shown) == len(late.times_ms), "pictures without a time"
        assert len(set(shown)) == len(shown), "two pictures at one time"
