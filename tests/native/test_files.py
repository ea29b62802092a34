"""Decisions, summary, drift and events of whole files are those of `score_file`, from the same decoded frames."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_clips import LEFT, RIGHT, closed, frames_of, speaking
from fake_bundle import write_fake_bundle
from generated_clips import make_clips
from native_library import NativeLibrary, NativeScorer
from native_streams import assert_same_face
from shared_folder import shared_folder
from sync_clips import make_audio, write_clip

from cavsync.deploy import Bundle
from cavsync.deploy.files.score_file import FileScore, score_file
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.errors import MediaError
from cavsync.media import AudioChunk, MediaReader

SUITE_EVERY = int(os.environ.get("CAVSYNC_NATIVE_EVERY", "20"))
"""One of so many shared clips is scored by both paths, and of twice as many by each alone; 1 takes an hour."""
EXACT_FIELDS = ("state", "reason", "within_profile", "is_measured", "path")
OFFSET_MS, SIMILARITY = 1.0, 1e-3
NUMBERS = {
    **dict.fromkeys(("audio_offset_ms", "suggested_audio_delay_ms", "offset_resolution_ms"), OFFSET_MS),
    **dict.fromkeys(("similarity", "time_seconds", "window_seconds"), SIMILARITY),
    "confidence": 0.005,
}
SUMMARY_NUMBERS = {
    **dict.fromkeys(("early_limit_ms", "late_limit_ms", "drift_ms_per_minute", "worst_offset_ms"), OFFSET_MS),
    **dict.fromkeys(("duration_seconds", "undetermined_share", "num_windows"), SIMILARITY),
}


def native_score(library: NativeLibrary, bundle: Any, clip: Path, **options: Any) -> tuple[list[Any], Any, list[Any]]:
    """Score what `MediaReader` reads of a file; return the decisions, the summary and the events."""
    scorer, records = NativeScorer(library, bundle, keeps_summary=1, **options), []
    with MediaReader(clip) as reader:
        for item in reader:
            if isinstance(item, AudioChunk):
                scorer.push_audio(item.samples, pts_seconds=item.pts_seconds)
            else:
                scorer.push_video(item.rgb, pts_seconds=item.pts_seconds)
            records += scorer.process()
    records += scorer.flush()
    summary, events = scorer.summarise()
    scorer.close()
    return records, summary, events


def assert_near(found: dict[str, Any], wanted: Any, tolerances: dict[str, float]) -> None:
    for name, tolerance in tolerances.items():
        value = getattr(wanted, name)
        assert found[name] == (None if value is None else pytest.approx(value, abs=tolerance)), name


def assert_same(found: tuple[list[Any], Any, list[Any]], wanted: FileScore) -> None:
    records, summary, events = found
    for one, other in zip([*records, summary], [*wanted.records, wanted.summary.score], strict=True):
        assert {name: one[name] for name in EXACT_FIELDS} == {name: getattr(other, name) for name in EXACT_FIELDS}
        assert_near(one, other, NUMBERS)
        assert_same_face(one["face"], other.face)
    assert_near(summary, wanted.summary, SUMMARY_NUMBERS)
    assert summary["is_varying"] == wanted.summary.score.is_varying
    assert summary["num_faces"] == wanted.summary.num_faces
    assert summary["face_share"] == pytest.approx(wanted.summary.path_share["face"])
    assert summary["num_ignored_frames"] == wanted.summary.media["ignored_frames"]
    assert [(event["state"], event["cause"]) for event in events] == [
        (event.state, event.cause) for event in wanted.summary.events
    ]
    for event, other in zip(events, wanted.summary.events, strict=True):
        assert_near(event, other, {"start": SIMILARITY, "end": SIMILARITY, "extreme": OFFSET_MS})


@pytest.fixture(scope="module")
def bundles(library: NativeLibrary) -> tuple[Any, Bundle]:
    """The packaged bundle, opened by both."""
    return library.open_bundle(default_bundle()), Bundle.open(threads=1)


def test_generated_files(library: NativeLibrary, bundles: tuple[Any, Bundle], tmp_path: Path) -> None:
    make_clips(tmp_path, 4, seed=11, duration_seconds=6.0, max_offset_ms=500.0)
    clips = sorted(tmp_path.glob("*.mp4"))
    assert len(clips) == 4
    for clip in clips:
        assert_same(native_score(library, bundles[0], clip), score_file(clip, bundles[1], path="whole"))


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_long_file_with_a_drift(
    library: NativeLibrary, bundles: tuple[Any, Bundle], tmp_path: Path, adaptive: bool
) -> None:
    """Long enough for drift, with events, and with an offset that varies."""
    make_clips(tmp_path, 1, seed=3, duration_seconds=45.0, drift_ms_per_minute=400.0)
    (clip,) = tmp_path.glob("*.mp4")
    wanted = score_file(clip, bundles[1], path="whole", adaptive=adaptive)
    assert wanted.summary.events
    assert_same(native_score(library, bundles[0], clip, adaptive=adaptive), wanted)


@pytest.mark.parametrize("path", ["auto", "face"])
def test_a_file_with_faces(library: NativeLibrary, tmp_path: Path, path: str) -> None:
    """Two faces speak in turn, so that the file's face is now one and now the other; its sound is late."""
    bundle_path = write_fake_bundle(tmp_path / "bundle", face_places=(LEFT, RIGHT))
    times = np.arange(300) / 25
    turns = np.where(times < 6, speaking(times), closed(times)), np.where(times < 6, closed(times), speaking(times))
    samples = make_audio(0.0, 12 * 16_000, audio_offset_ms=-200.0)
    clip = write_clip(tmp_path / "clip.mkv", frames=frames_of(*turns), samples=samples, audio_rate_hz=16_000)
    wanted = score_file(clip, Bundle.open(bundle_path, threads=1), path=path)
    assert (wanted.summary.score.path, wanted.summary.score.state) == ("face", "audio_late")
    assert_same(native_score(library, library.open_bundle(bundle_path), clip, path=path), wanted)


@pytest.mark.shared
@pytest.mark.parametrize("path", ["auto", "face", "whole"])
def test_real_files(library: NativeLibrary, bundles: tuple[Any, Bundle], path: str) -> None:
    clips = sorted(path for path in shared_folder("data/clips").rglob("*") if path.is_file())
    paths = set()
    for clip in clips[:: SUITE_EVERY if path == "auto" else 2 * SUITE_EVERY]:
        try:
            wanted = score_file(clip, bundles[1], path=path)
        except MediaError:
            continue
        assert_same(native_score(library, bundles[0], clip, path=path), wanted)
        paths.add(wanted.summary.score.path)
    assert paths == ({"face", "whole"} if path == "auto" else {path})
