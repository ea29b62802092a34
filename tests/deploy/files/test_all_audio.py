"""All audio tracks of a file in one pass: each as if it were scored alone, the picture embedded once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from coded_clips import write_coded_clip
from counting_engine import CountingEngine
from situation import ffmpeg

from cavsync.deploy import Bundle, ScoringOptions, Watcher, score_file
from cavsync.deploy.files.row import row_of
from cavsync.deploy.sinks import objects_of
from cavsync.deploy.sinks.text import csv_row
from cavsync.errors import ConfigError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tracks, offset by 0, 40 and 80 ms; the second has the default flag."""
    return write_coded_clip(tmp_path_factory.mktemp("clip") / "clip.mkv", seconds=6.0, num_audio=3)


@pytest.mark.parametrize("adaptive", [False, True])
def test_each_track_is_scored_as_if_alone(bundle: Bundle, clip: Path, adaptive: bool) -> None:
    found = score_file(clip, bundle, all_audio=True, adaptive=adaptive)
    assert [track.number for track in found.tracks] == [0, 1, 2]
    for track in found.tracks:
        alone = score_file(clip, bundle, audio_stream=track.number, adaptive=adaptive)
        assert track.summary.score == alone.summary.score
        assert alone.summary.score.audio_offset_ms == pytest.approx(40 * track.number, abs=6)
    assert found.summary.audio_stream == "1"
    assert found.records == score_file(clip, bundle, adaptive=adaptive).records
    assert not any("is scored, not" in note for note in found.summary.notes)


def test_faces_too(face_bundle: Bundle, clip: Path) -> None:
    found = score_file(clip, face_bundle, all_audio=True)
    for track in found.tracks:
        assert track.summary.score == score_file(clip, face_bundle, audio_stream=track.number).summary.score


def test_the_picture_is_embedded_once(bundle: Bundle, clip: Path) -> None:
    counts = []
    for all_audio in (False, True):
        engines = CountingEngine(bundle.visual), CountingEngine(bundle.audio)
        score_file(clip, replace(bundle, visual=engines[0], audio=engines[1]), all_audio=all_audio)
        counts.append([engine.num_inputs for engine in engines])
    assert counts[1][0] == counts[0][0]
    assert counts[1][1] == 3 * counts[0][1]


def test_every_output_has_the_tracks(bundle: Bundle, clip: Path) -> None:
    found = score_file(clip, bundle, all_audio=True)
    objects = [item for item in objects_of(found) if item["kind"] == "track"]
    assert [(item["audio_stream"], item["description"]) for item in objects] == [
        ("0", "aac, 1 channel, eng"),
        ("1", "aac, 1 channel, deu"),
        ("2", "aac, 1 channel, fra"),
    ]
    assert objects[2]["audio_offset_ms"] == pytest.approx(80, abs=3)
    assert [csv_row(item).rstrip().split(",")[-1] for item in objects] == ["0", "1", "2"]
    row = row_of(found)
    assert row.tracks[2].startswith("audio track 2 (aac, 1 channel, fra): Audio early by 80 ms")
    assert row.tracks_within_profile == [track.summary.score.within_profile for track in found.tracks]
    assert row.tracks_within_profile[::2] == [True, False]


def test_a_track_of_another_programme_is_told(bundle: Bundle, clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.ts"
    programmes = ("-program", "program_num=7:st=1", "-program", "program_num=9:st=0:st=2")
    ffmpeg("-i", clip, "-map", "0:v", "-map", "0:a:0", "-map", "0:a:1", "-c", "copy", *programmes, path)
    found = score_file(path, bundle, all_audio=True)
    note = "of programme 7, the picture is of 9"
    assert [track.to_dict()["notes"] for track in found.tracks] == [[note], []]
    assert [note in line for line in row_of(found).tracks] == [True, False]
    assert found.summary.notes == [f"audio track 0: {note}"]


def test_what_contradicts_it_is_refused(bundle: Bundle, clip: Path) -> None:
    with pytest.raises(ConfigError, match="leave audio_stream out"):
        ScoringOptions(all_audio=True, audio_stream=1)
    for options in (ScoringOptions(all_audio=True), ScoringOptions(audio_stream="0+1")):
        with pytest.raises(ConfigError, match="one audio track"):
            Watcher(str(clip), bundle, options)


def test_a_source_is_watched_with_the_track_that_players_play(bundle: Bundle, clip: Path) -> None:
    assert [score.audio_offset_ms for score in Watcher(str(clip), bundle)] == pytest.approx([40] * 9, abs=6)
    chosen = list(Watcher(str(clip), bundle, audio_stream=2))
    assert [score.audio_offset_ms for score in chosen] == pytest.approx([80] * 9, abs=6)
