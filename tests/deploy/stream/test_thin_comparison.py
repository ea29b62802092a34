"""Where a face decides, the whole picture is compared thinly; every window that rests on it has it in full."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from counting_engine import CountingEngine
from face_clips import frames_of, speaking
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streams import RATE_HZ, feed, times_at
from sync_clips import make_audio

from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.stream.rows import FULL, Row

Array = np.ndarray[Any, Any]
FACE_SECONDS, ALL_SECONDS = 5.0, 10.0
TIMES = times_at(25, ALL_SECONDS)


def faces() -> Array:
    """Two mouths that speak alike, so that the whole picture follows the same sound."""
    return frames_of(speaking(TIMES), speaking(TIMES))


@pytest.fixture(scope="module")
def frames() -> Array:
    """Faces speak for five seconds; then the picture is too dark for a face, and still moves."""
    return np.where((TIMES < FACE_SECONDS)[:, None, None, None], faces(), faces() // 12)


def audio(offset_ms: float = 60.0) -> Array:
    return make_audio(0.0, round(ALL_SECONDS * RATE_HZ), audio_offset_ms=offset_ms)


@pytest.fixture(scope="module")
def trusting(face_bundle: Bundle) -> Bundle:
    """Decides on a face at once; whatever the whole picture says counts as the same, and decides where it is sure."""
    return with_calibrations(face_bundle, face={"threshold": 0.1}, whole={"threshold": 0.9, "tolerance_ms": 5000.0})


def with_calibrations(bundle: Bundle, face: dict[str, float], whole: dict[str, float]) -> Bundle:
    manifest, faces = bundle.manifest, bundle.faces
    assert faces is not None
    assert faces.spec.calibration is not None
    assert manifest.calibration is not None
    spec = replace(faces.spec, calibration=replace(faces.spec.calibration, **face))  # type: ignore[arg-type]
    manifest = replace(manifest, faces=spec, calibration=replace(manifest.calibration, **whole))  # type: ignore[arg-type]
    return replace(bundle, manifest=manifest, faces=replace(faces, spec=spec))


def counted(bundle: Bundle) -> tuple[Bundle, CountingEngine, CountingEngine]:
    visual, heard = CountingEngine(bundle.visual), CountingEngine(bundle.audio)
    return replace(bundle, visual=visual, audio=heard), visual, heard


def test_a_face_that_decides_makes_the_whole_picture_cheap(trusting: Bundle) -> None:
    bundle, visual, heard = counted(trusting)
    rows: list[Row] = []
    records = feed(SyncScorer(bundle, on_row=rows.append), TIMES, faces(), audio())
    assert {(record.path, record.is_measured) for record in records} == {("face", True)}
    # One of four frames, but for windows whose whole picture says nothing, and the rows after the last window.
    assert visual.num_inputs == len(rows) <= 0.5 * len(TIMES)
    assert heard.num_inputs < len(TIMES)
    assert any(row.stride == 4 for row in rows)


def test_windows_without_a_face_have_the_whole_picture_at_once(trusting: Bundle, frames: Array) -> None:
    both = feed(SyncScorer(trusting), TIMES, frames, audio())
    whole = feed(SyncScorer(trusting, path="whole"), TIMES, frames, audio())
    assert [record.time_seconds for record in both] == [record.time_seconds for record in whole]
    pairs = [pair for pair in zip(both, whole, strict=True) if pair[0].path == "whole"]
    # From the first window on of which the faces fill less than 40 %.
    assert min(record.time_seconds for record, _ in pairs) <= FACE_SECONDS + 2
    assert len(pairs) >= 6
    for record, wanted in pairs:
        assert record.to_dict() == wanted.to_dict()
        assert record.features == pytest.approx(wanted.features, abs=1e-5)


def test_a_contradiction_is_the_same_as_in_a_full_comparison(face_bundle: Bundle) -> None:
    """The whole picture says 200 ms less than the faces wherever it decides."""
    trust, biased = {"threshold": 0.1}, {"threshold": 0.3, "zero_point_ms": 200.0}
    bundle = with_calibrations(face_bundle, trust, biased)
    thin, full = SyncScorer(bundle), SyncScorer(bundle)
    full._windows._thin = FULL
    found, wanted = (feed(scorer, TIMES, faces(), audio()) for scorer in (thin, full))
    assert [record.to_dict() for record in found] == [record.to_dict() for record in wanted]
    assert sum("and the whole picture" in (record.reason or "") for record in found) >= 3


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, round(ALL_SECONDS * RATE_HZ) - 1), max_size=30),
    lead=st.sampled_from([0, 5, -5, 100, -100]),
)
def test_pieces_change_nothing_where_a_face_comes_and_goes(
    trusting: Bundle, frames: Array, cuts: list[int], lead: int
) -> None:
    seen: list[list[tuple[float, int]]] = []
    results = []
    for pieces, ahead in ((None, 0), (cuts, lead)):
        rows: list[Row] = []
        scorer = SyncScorer(trusting, on_row=rows.append)
        results.append(
            [record.to_dict() for record in feed(scorer, TIMES, frames, audio(), cuts=pieces, audio_leads_by=ahead)]
        )
        seen.append([(row.time_seconds, row.stride) for row in rows])
    assert results[0] == results[1]
    assert seen[0] == seen[1]
    assert {stride for _, stride in seen[0]} == {1, 4}
