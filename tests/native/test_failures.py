"""A model of libcavsync that fails ends a stream, without losing what was decided before."""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from failing_bundle import WHITE, write_failing_bundle
from native_library import NativeError, NativeLibrary, NativeScorer
from sync_clips import make_audio, make_frames

from cavsync.deploy.native import NativeBundle
from cavsync.deploy.native import NativeScorer as PythonScorer
from cavsync.errors import BundleError, MediaError

ARGUMENT, BUNDLE = 1, 3
GOOD_FRAMES = 125
FRAME_SECONDS = 0.04
GROUP_FRAMES = 16
"""Frames that are embedded together; the first group with a white frame fails."""


@pytest.fixture(scope="module")
def bundle_folder(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_failing_bundle(tmp_path_factory.mktemp("failing"))


@pytest.fixture(scope="module")
def bundle(library: NativeLibrary, bundle_folder: Path) -> c.c_void_p:
    return library.open_bundle(bundle_folder, threads=1)


def push(scorer: Any, *, num_more: int = 0, brightness: int = WHITE) -> None:
    """Push five seconds that can be scored, then so many frames of one brightness, with late sound."""
    good = np.minimum(make_frames(np.arange(GOOD_FRAMES) * FRAME_SECONDS), WHITE - 1)
    more = [np.full_like(good[0], brightness)] * num_more
    for number, frame in enumerate([*good, *more]):
        seconds = number * FRAME_SECONDS
        scorer.push_video(frame, pts_seconds=seconds)
        scorer.push_audio(make_audio(seconds, 640, audio_offset_ms=-240.0), pts_seconds=seconds)


def assert_fails_alike(*calls: Callable[[], Any]) -> str:
    """Make calls that all fail with one status and one sentence; return it."""
    sentences = set()
    for call in calls:
        with pytest.raises(NativeError) as failure:
            call()
        assert failure.value.status == BUNDLE
        sentences.add(str(failure.value))
    (sentence,) = sentences
    return sentence


@pytest.mark.parametrize("most", [1, None])
def test_what_was_decided_is_given_before_the_failure(
    library: NativeLibrary, bundle: c.c_void_p, most: int | None
) -> None:
    whole = NativeScorer(library, bundle, keeps_summary=1)
    push(whole, num_more=40, brightness=WHITE - 1)
    every = whole.process()
    failing_seconds = GOOD_FRAMES // GROUP_FRAMES * GROUP_FRAMES * FRAME_SECONDS
    wanted = [record for record in every if record["time_seconds"] < failing_seconds]
    assert [record["time_seconds"] for record in wanted] == [2.0, 2.5, 3.0, 3.5, 4.0]
    assert {record["state"] for record in wanted} == {"audio_late"}
    scorer = NativeScorer(library, bundle, keeps_summary=1)
    push(scorer, num_more=40)
    found: list[dict[str, Any]] = []
    while len(found) < len(wanted):
        found += scorer.process(most)
    assert found == wanted
    sentence = assert_fails_alike(scorer.process, scorer.flush, scorer.process, scorer.summarise)
    assert "visual_encoder.onnx fails on an input" in sentence
    scorer.reset()
    push(scorer, num_more=40, brightness=WHITE - 1)
    assert scorer.process() == every
    assert len(scorer.flush()) > 0


def test_a_flush_that_fails_loses_nothing(library: NativeLibrary, bundle: c.c_void_p) -> None:
    """The last frames, too few for a group, are embedded by the flush alone."""
    whole = NativeScorer(library, bundle)
    push(whole)
    wanted = whole.process()
    scorer = NativeScorer(library, bundle, keeps_summary=1)
    push(scorer, num_more=2)
    sentence = assert_fails_alike(scorer.flush, scorer.flush, scorer.summarise)
    assert scorer.process() == wanted
    assert assert_fails_alike(scorer.process, scorer.flush) == sentence


def test_in_python_a_failure_is_a_bundle_error(
    bundle_folder: Path, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAVSYNC_LIBRARY", str(build / "libcavsync.so"))
    scorer = PythonScorer(NativeBundle(bundle_folder, threads=1), path="whole")
    with pytest.raises(BundleError, match=r"visual_encoder\.onnx fails"):
        push(scorer, num_more=40)
    with pytest.raises(BundleError, match=r"visual_encoder\.onnx fails"):
        scorer.flush()
    scorer.reset()
    push(scorer)
    assert scorer.flush()
    with pytest.raises(MediaError, match="reset"):
        push(scorer)


def test_a_wrong_order_of_calls_is_a_mistake_of_the_program(library: NativeLibrary, bundle: c.c_void_p) -> None:
    scorer = NativeScorer(library, bundle, keeps_summary=1)
    calls: list[tuple[Callable[[], Any], str]] = [(scorer.summarise, "flush"), (scorer.take_events, "follows_events")]
    push(scorer)
    for call, word in calls:
        with pytest.raises(NativeError, match=word) as failure:
            call()
        assert failure.value.status == ARGUMENT
    scorer.flush()
    with pytest.raises(NativeError, match="reset") as failure:
        push(scorer)
    assert failure.value.status == ARGUMENT
