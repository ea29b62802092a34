"""`cavsync.deploy.native` decides as `SyncScorer` does, and says what is missing."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_clips import LEFT, RIGHT, closed, frames_of, speaking
from fake_bundle import write_fake_bundle
from native_streams import assert_same_face
from sync_clips import make_audio, make_frames

from cavsync.deploy import Bundle, SyncScore, SyncScorer
from cavsync.deploy.native import NativeBundle, NativeScorer, load
from cavsync.deploy.native_structures import BundleOptions, Frame, Options
from cavsync.errors import BackendError, BundleError, ConfigError, MediaError


@pytest.fixture(autouse=True)
def _library(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAVSYNC_LIBRARY", str(build / "libcavsync.so"))


def decisions(scorer: Any, *, seconds: float = 6.0, audio_offset_ms: float = -240.0) -> list[SyncScore]:
    found = []
    frames = make_frames(np.arange(0, seconds, 0.04))
    for number, frame in enumerate(frames):
        found += scorer.push_video(frame, pts_seconds=number * 0.04)
        audio = make_audio(number * 0.04, 1920, rate_hz=48_000, audio_offset_ms=audio_offset_ms)
        found += scorer.push_audio(audio, pts_seconds=number * 0.04, sample_rate_hz=48_000)
    return [*found, *scorer.flush()]


@pytest.mark.parametrize(
    "options",
    [{}, {"profile": "custom", "early_ms": 10.0, "late_ms": 300.0}, {"window_seconds": 1.5, "hop_ms": 80.0}],
    ids=str,
)
def test_decisions_are_those_of_python(bundle_path: Path, options: dict[str, Any]) -> None:
    native = NativeScorer(NativeBundle(bundle_path, threads=1), path="whole", **options)
    found = decisions(native)
    wanted = decisions(SyncScorer(Bundle.open(bundle_path, threads=1), path="whole", **options))
    assert [score.to_dict() for score in found] == [
        pytest.approx(score.to_dict(), abs=0.15) if score.audio_offset_ms is not None else score.to_dict()
        for score in wanted
    ]
    assert "audio_late" in {score.state for score in found} or options
    assert [score.is_measured for score in found] == [score.is_measured for score in wanted]
    native.reset()
    assert decisions(native) == found


@pytest.mark.parametrize("path", ["auto", "face", "whole"])
def test_faces_are_judged_as_in_python(tmp_path: Path, path: str) -> None:
    bundle_path = write_fake_bundle(tmp_path, face_places=(LEFT, RIGHT))
    times = np.arange(125) / 25
    frames, samples = frames_of(speaking(times), closed(times)), make_audio(0.0, 5 * 16_000, audio_offset_ms=-160.0)

    def scored(scorer: Any) -> list[SyncScore]:
        found = scorer.push_audio(samples, pts_seconds=0.0)
        for time, frame in zip(times, frames, strict=True):
            found += scorer.push_video(frame, pts_seconds=float(time))
        return [*found, *scorer.flush()]

    found = scored(NativeScorer(NativeBundle(bundle_path, threads=1), path=path))
    wanted = scored(SyncScorer(Bundle.open(bundle_path, threads=1), path=path))
    assert [(score.path, score.state, score.reason) for score in found] == [
        (score.path, score.state, score.reason) for score in wanted
    ]
    assert {score.path for score in found} == {"whole" if path == "whole" else "face"}
    assert [score.audio_offset_ms for score in found] == pytest.approx([score.audio_offset_ms for score in wanted])
    for score, other in zip(found, wanted, strict=True):
        assert_same_face(score.face, other.face)
        assert (score.face is None) == (path == "whole")


def test_structures_are_those_of_the_library() -> None:
    # Functions for programs that were built before a structure grew leave out what was added.
    for structure, name, size in (
        (Frame, "frame", ctypes.sizeof(Frame)),
        (Options, "options", Options.begin_after.offset),
        (BundleOptions, "bundle_options", BundleOptions.engine.offset),
    ):
        padded = (ctypes.c_char * (ctypes.sizeof(structure) + 1024))()
        getattr(load().functions, f"cavsync_{name}_init")(padded)
        assert structure.from_buffer(padded).size == size


def test_errors_are_those_of_python(bundle_path: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        NativeBundle(tmp_path / "missing")
    with pytest.raises(ConfigError, match="has no face path"):
        NativeScorer(NativeBundle(bundle_path), path="face")
    scorer = NativeScorer(NativeBundle(bundle_path))
    with pytest.raises(MediaError, match="RGB"):
        scorer.push_video(np.zeros((4, 4), np.uint8), pts_seconds=0.0)
    with pytest.raises(MediaError, match="timestamp"):
        scorer.push_video(np.zeros((4, 4, 3), np.uint8), pts_seconds=float("nan"))
    with pytest.raises(MediaError, match="float32 or int16"):
        scorer.push_audio(np.zeros(4, np.float64), pts_seconds=0.0)  # type: ignore[arg-type]
    with pytest.raises(MediaError, match="NaN"):
        scorer.push_audio(np.full(4, np.nan, np.float32), pts_seconds=0.0)
    scorer.flush()
    with pytest.raises(MediaError, match="reset"):
        scorer.push_video(np.zeros((4, 4, 3), np.uint8), pts_seconds=0.0)


def test_rules_of_events_need_events(bundle_path: Path) -> None:
    bundle = NativeBundle(bundle_path)
    with pytest.raises(ConfigError, match="need follows_events"):
        NativeScorer(bundle, end_after=1)
    assert NativeScorer(bundle, follows_events=True, end_after=1).take_events() == []


@pytest.mark.parametrize("name", ["/no/such/libcavsync.so", "libc.so.6"])
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("CAVSYNC_LIBRARY", name)
    with pytest.raises(BackendError, match=r"libcavsync cannot be loaded .* `make native`"):
        load()
