"""Drifts: refused where one delay cannot take them out, and taken out by stretching the audio."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from coded_clips import of_kind, packets, write_coded_clip
from sync_clips import write_clip

from cavsync.deploy import Bundle, FileScore, score_file
from cavsync.deploy.repair.fix import check_stretched, drift_to_remove, fix_file, offset_to_remove
from cavsync.errors import MediaError

SECONDS, START_MS, DRIFT_MS_PER_MINUTE = 40.0, 80.0, 60.0


@pytest.fixture(scope="module")
def drifting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(
        tmp_path_factory.mktemp("drift") / "in.mp4",
        seconds=SECONDS,
        audio_offset_ms=lambda times: START_MS + DRIFT_MS_PER_MINUTE / 60 * times,
    )


@pytest.fixture(scope="module")
def measured(drifting: Path, bundle: Bundle) -> FileScore:
    return score_file(drifting, bundle)


def test_one_delay_is_refused_unless_it_is_forced(drifting: Path, measured: FileScore) -> None:
    score, drift = measured.summary.score, measured.summary.drift_ms_per_minute
    with pytest.raises(MediaError, match=r"drifts by \+\d+ ms per minute, \d+ ms in all.*--stretch.*--force"):
        offset_to_remove(drifting, score, drift_ms_per_minute=drift)
    assert offset_to_remove(drifting, score, drift_ms_per_minute=drift, force=True) == pytest.approx(100, abs=5)
    assert offset_to_remove(drifting, score, drift_ms_per_minute=10) == score.suggested_audio_delay_ms
    with pytest.raises(MediaError, match=r"no measurable drift.*leave out --stretch"):
        drift_to_remove(drifting, measured.records, 10)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_stretching_takes_out_drift_and_offset(
    drifting: Path, measured: FileScore, bundle: Bundle, tmp_path: Path, ending: str
) -> None:
    drift = drift_to_remove(drifting, measured.records, measured.summary.drift_ms_per_minute)
    assert drift.start_ms == pytest.approx(START_MS, abs=5)
    output = tmp_path / f"out.{ending}"
    fixed = fix_file(drifting, output, drift.start_ms, stretch=drift.ratio)
    assert any("stretched and re-encoded" in note for note in fixed.notes)
    after = score_file(output, bundle).summary
    assert after.score.audio_offset_ms == pytest.approx(0, abs=5)
    assert after.drift_ms_per_minute == pytest.approx(0, abs=3)
    check_stretched(output, after.score, after.drift_ms_per_minute)
    (before_video,), (after_video,) = (of_kind(packets(path), "video") for path in (drifting, output))
    assert len(before_video.times) == len(after_video.times)
    (before_audio,), (after_audio,) = (of_kind(packets(path), "audio") for path in (drifting, output))
    longer = float(after_audio.times[-1] - after_audio.times[0]) - float(before_audio.times[-1] - before_audio.times[0])
    assert longer == pytest.approx(DRIFT_MS_PER_MINUTE / 60_000 * SECONDS, abs=0.03)


def test_a_copy_that_still_drifts_is_discarded(measured: FileScore) -> None:
    score = measured.summary.score
    with pytest.raises(MediaError, match="does not change steadily"):
        check_stretched("out.mp4", score, measured.summary.drift_ms_per_minute)
    with pytest.raises(MediaError, match="does not change steadily"):
        check_stretched("out.mp4", replace(score, is_varying=True), 0.0)


def test_what_cannot_be_encoded_is_refused(tmp_path: Path) -> None:
    source = write_coded_clip(tmp_path / "in.mkv", seconds=1.0, codecs=("libx264", "flac"))
    with pytest.raises(MediaError, match=r"cannot hold audio in flac"):
        fix_file(source, tmp_path / "out.ts", 80, stretch=Fraction(1001, 1000))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]
