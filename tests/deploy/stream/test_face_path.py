"""The face path of the scorer: known offsets, several faces, faces lost and found, and any pieces of the stream."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from face_clips import absent, closed, frames_of, speaking
from fake_faces import NUM_FRAMES, RATE_HZ, SEGMENT_FRAMES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streams import RATE_HZ as AUDIO_HZ
from streams import feed, times_at
from sync_clips import make_audio, make_frames

from cavsync.deploy import Bundle, SyncScore, SyncScorer
from cavsync.deploy.stream.face_path import FaceRow
from cavsync.deploy.verdict.face_view import HARDLY_MOVE
from cavsync.errors import ConfigError

Array = np.ndarray[Any, Any]


def audio(seconds: float, offset_ms: float = 0.0, seed: int = 0) -> Array:
    return make_audio(0.0, round(seconds * AUDIO_HZ), audio_offset_ms=offset_ms, seed=seed)


def offsets(records: list[SyncScore]) -> list[float]:
    assert all(record.is_measured for record in records)
    return [record.audio_offset_ms or 0.0 for record in records]


@pytest.mark.parametrize("rate_hz", [15.0, 24000 / 1001, 25.0, 30.0, 50.0, 59.94])
@pytest.mark.parametrize("offset_ms", [-280.0, 0.0, 120.0])
def test_sign_and_size_of_the_offset(face_bundle: Bundle, rate_hz: float, offset_ms: float) -> None:
    times = times_at(rate_hz, 5.0)
    frames = frames_of(speaking(times), closed(times))
    records = feed(SyncScorer(face_bundle, path="face", profile="ebu-r37"), times, frames, audio(5.0, offset_ms))
    assert [record.time_seconds for record in records] == pytest.approx([2 + 0.5 * n for n in range(7)])
    # Between frames a mouth is taken to move evenly: at 15 per second that costs a few ms.
    assert offsets(records) == pytest.approx([offset_ms] * 7, abs=8 if rate_hz < 20 else 5)
    wanted = "audio_early" if offset_ms > 60 else "audio_late" if offset_ms < -70 else "in_sync"
    assert {(record.path, record.state) for record in records} == {("face", wanted)}


def angle_of_mouth(time: float, times: Array, levels: Array) -> float:
    opening = np.interp(time, times, levels / 255)
    return float(math.pi * min(max((opening - 0.1) / 0.2, 0), 1))


def angle_of_sound(instant: int, samples: Array) -> float:
    """The middle five frames of the segment that starts at log-mel frame 4 * instant, in double precision."""
    first = instant * 4
    if first < 0 or (first + SEGMENT_FRAMES - 1) * 160 + 400 > len(samples):
        return math.nan
    frames = range(first + SEGMENT_FRAMES // 2 - 2, first + SEGMENT_FRAMES // 2 + 3)
    powers = [np.mean(samples[160 * frame : 160 * frame + 400].astype(np.float64) ** 2) for frame in frames]
    decibels = 10 / math.log(10) * np.mean([math.log(power + 1e-10) for power in powers])
    return math.pi * min(max((decibels + 50) / 40, 0), 1)


@pytest.mark.parametrize(("rate_hz", "start"), [(25.0, 0.0), (25.0, 0.013), (30.0, 0.0)])
def test_rows_match_a_plain_calculation(face_bundle: Bundle, rate_hz: float, start: float) -> None:
    times = times_at(rate_hz, 3.0, start)
    levels, samples = speaking(times), audio(3.0, 50.0)
    rows: list[FaceRow] = []
    scorer = SyncScorer(face_bundle, path="face", on_face_row=rows.append)
    feed(scorer, times, frames_of(levels, absent(times)), samples)
    half = (NUM_FRAMES - 1) / 2 / RATE_HZ
    # Grid frames exist between the first and the last frame; a moment has half a window of them on either side.
    first, last = math.ceil(times[0] * RATE_HZ - 1e-6), math.floor(times[-1] * RATE_HZ + 1e-6)
    wanted_times = np.arange(first, last + 1 - (NUM_FRAMES - 1)) / RATE_HZ + half
    np.testing.assert_allclose([row.time_seconds for row in rows], wanted_times)
    assert {row.track for row in rows} == {0}
    center_seconds = ((SEGMENT_FRAMES - 1) / 2 * 160 + 200) / AUDIO_HZ
    for row in rows[:: len(rows) // 7]:
        mouth, wanted = angle_of_mouth(row.time_seconds, times, levels), []
        for lag_ms in scorer.lags_ms:
            position = (row.time_seconds + lag_ms / 1000 - center_seconds) / 0.04
            below = math.floor(position + 1e-6)
            share = max(0.0, position - below)
            near = [math.cos(mouth - angle_of_sound(below + step, samples)) for step in (0, 1)]
            wanted.append(near[0] if share < 1e-6 else (1 - share) * near[0] + share * near[1])
        np.testing.assert_allclose(row.similarity, wanted, atol=2e-3)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, 4 * AUDIO_HZ - 1), max_size=30),
    lead=st.sampled_from([0, 0, 1, -1, 100, -100]),
    path=st.sampled_from(["face", "auto"]),
    adaptive=st.booleans(),
)
def test_results_do_not_depend_on_the_pieces(
    face_bundle: Bundle, cuts: list[int], lead: int, path: str, adaptive: bool
) -> None:
    times = times_at(30, 4.0)
    frames, samples = frames_of(speaking(times), closed(times)), audio(4.0, -70.0)
    reference = feed(SyncScorer(face_bundle, path=path, adaptive=adaptive), times, frames, samples)
    scorer = SyncScorer(face_bundle, path=path, adaptive=adaptive)
    records = feed(scorer, times, frames, samples, cuts=cuts, audio_leads_by=lead)
    assert len(records) == len(reference) == 5
    for record, wanted in zip(records, reference, strict=True):
        assert record.to_dict() == wanted.to_dict()
        assert record.face == wanted.face
        assert record.confidence == pytest.approx(wanted.confidence, abs=1e-6)


DISPUTED = "one face says +79 ms and another -510 ms"


def test_of_two_faces_the_one_that_speaks_is_measured(face_bundle: Bundle) -> None:
    times = times_at(25, 6.0)
    for mouths, track in (((speaking(times), closed(times)), 0), ((speaking(times, 7), speaking(times)), 1)):
        records = feed(SyncScorer(face_bundle, path="face"), times, frames_of(*mouths), audio(6.0, 80.0))
        assert all(len(record.faces) == 2 for record in records)
        # The made-up calibration trusts chance, too: where it trusts both faces, nothing is decided.
        settled = [record for record in records if record.is_measured]
        assert {record.reason for record in records if not record.is_measured} <= {DISPUTED}
        assert len(settled) >= 0.7 * len(records)
        assert offsets(settled) == pytest.approx([80.0] * len(settled), abs=6)
        assert all(record.face is not None and record.face.track == track for record in settled)
        view = records[0].face
        assert view is not None
        middle = (view.box[0] + view.box[2]) / 2, (view.box[1] + view.box[3]) / 2
        assert middle == pytest.approx((48 + 96 * track, 48), abs=1)
        assert (view.frame_size, view.frontality) == ((192, 96), pytest.approx(1, abs=1e-4))


def test_a_face_that_does_not_speak_gives_no_offset(face_bundle: Bundle) -> None:
    times = times_at(25, 6.0)
    still = feed(SyncScorer(face_bundle, path="face"), times, frames_of(closed(times), absent(times)), audio(6.0))
    assert not any(record.is_measured for record in still)
    # A picture that does not move at all is the first reason; a mouth that does not move the next.
    moving = frames_of(closed(times), absent(times))
    moving[:, :8] = make_frames(times)[:, :8, :1]
    records = feed(SyncScorer(face_bundle, path="face"), times, moving, audio(6.0))
    assert {record.reason for record in records} == {HARDLY_MOVE}
    assert {(record.path, record.audio_offset_ms) for record in records} == {("face", None)}


def test_a_face_is_lost_and_found(face_bundle: Bundle) -> None:
    times = times_at(25, 12.0)
    levels = np.where((times > 4) & (times < 7.5), 0, speaking(times))
    rows: list[FaceRow] = []
    scorer = SyncScorer(face_bundle, path="face", on_face_row=rows.append)
    records = feed(scorer, times, frames_of(levels, absent(times)), audio(12.0, 60.0))
    seen = [record for record in records if record.time_seconds <= 4.5 or record.time_seconds >= 9]
    lost = [record for record in records if record.time_seconds in (5.5, 6.0, 8.0, 8.5)]
    assert offsets(seen) == pytest.approx([60.0] * len(seen), abs=6)
    assert {record.face.track for record in seen if record.face is not None} == {0, 1}
    assert [record.reason for record in lost] == ["no face is in at least 40% of the window"] * 4
    assert {(record.state, record.audio_offset_ms) for record in lost} == {("undetermined", None)}
    # No moment lies nearer to the hole than half a window of the model.
    assert not [row for row in rows if 4 - 0.24 + 0.04 < row.time_seconds < 7.5 + 0.24 - 0.04]


def test_a_gap_in_the_frames_is_not_interpolated(face_bundle: Bundle) -> None:
    times = times_at(25, 6.0)
    kept = times[(times < 3.0) | (times > 3.18)]
    rows: list[FaceRow] = []
    scorer = SyncScorer(face_bundle, path="face", on_face_row=rows.append)
    feed(scorer, kept, frames_of(speaking(kept), absent(kept)), audio(6.0))
    near = [row.time_seconds for row in rows if 2.5 < row.time_seconds < 3.7]
    assert max(time for time in near if time < 3.1) == pytest.approx(2.96 - 0.24)
    assert min(time for time in near if time > 3.1) == pytest.approx(3.2 + 0.24)
    # A shorter gap is.
    rows.clear()
    kept = times[(times < 3.0) | (times > 3.06)]
    feed(scorer_of(face_bundle, rows), kept, frames_of(speaking(kept), absent(kept)), audio(6.0))
    assert len([row for row in rows if 2.5 < row.time_seconds < 3.5]) == 25


def scorer_of(bundle: Bundle, rows: list[FaceRow]) -> SyncScorer:
    return SyncScorer(bundle, path="face", on_face_row=rows.append)


def test_no_face_leaves_the_whole_picture(face_bundle: Bundle) -> None:
    """Too dark for a face, and still bright enough for the whole picture: records are those of the whole path."""
    times = times_at(25, 6.0)
    frames, samples = make_frames(times) // 40, audio(6.0)
    found = [feed(SyncScorer(face_bundle, path=path), times, frames, samples) for path in ("auto", "whole")]
    assert [record.to_dict() for record in found[0]] == [record.to_dict() for record in found[1]]
    assert {record.path for record in found[0]} == {"whole"}
    alone = feed(SyncScorer(face_bundle, path="face"), times, frames, samples)
    assert {(record.path, record.state, record.audio_offset_ms) for record in alone} == {("face", "undetermined", None)}


def test_a_bundle_without_faces(bundle: Bundle) -> None:
    times = times_at(25, 4.0)
    found = [feed(SyncScorer(bundle, path=path), times, make_frames(times), audio(4.0)) for path in ("auto", "whole")]
    assert [record.to_dict() for record in found[0]] == [record.to_dict() for record in found[1]]
    assert {record.path for record in found[0]} == {"whole"}
    with pytest.raises(ConfigError, match=r"path is face, and the bundle light and loudness meter has no face path"):
        SyncScorer(bundle, path="face")


class Refusing:
    """An engine that must not be asked."""

    def run(self, values: Array, output: str) -> Array:
        raise AssertionError(f"asked for {output}")


def test_a_path_that_is_left_out_costs_nothing(face_bundle: Bundle) -> None:
    assert face_bundle.faces is not None
    idle = Refusing()
    faceless = replace(
        face_bundle, faces=replace(face_bundle.faces, short_range=idle, full_range=idle, mesh=idle, frame=idle)
    )
    times = times_at(25, 3.0)
    frames = frames_of(speaking(times), closed(times))
    assert feed(SyncScorer(faceless, path="whole"), times, frames, audio(3.0))
    blind = replace(face_bundle, visual=idle, audio=idle)
    records = feed(SyncScorer(blind, path="face"), times, frames, audio(3.0))
    assert all(record.is_measured for record in records)


def test_decisions_come_as_soon_as_both_paths_are_complete(face_bundle: Bundle) -> None:
    times = times_at(25, 6.0)
    mouth, samples = speaking(times), audio(6.0)
    for frames, longest_seconds in (
        # The search range of 0.6 s, half a segment of 0.45 s, and a group of 16 frames.
        (make_frames(times) // 40, 0.6 + 0.23 + 0.64 + 0.1),
        # Half a window of the model's frames, and one frame with which the next group begins.
        (frames_of(mouth, mouth), 0.6 + 0.23 + 0.64 + 0.1 + 0.24 + 0.04),
    ):
        scorer, delays = SyncScorer(face_bundle), []
        for index, (time, frame) in enumerate(zip(times, frames, strict=True)):
            records = scorer.push_video(frame, pts_seconds=time)
            records += scorer.push_audio(samples[640 * index : 640 * (index + 1)], pts_seconds=time)
            delays += [time - record.time_seconds for record in records]
        assert len(delays) >= 5
        assert max(delays) < longest_seconds


@pytest.mark.parametrize(("rate_hz", "searched_hz"), [(25.0, 25.0), (30.0, 30.0), (50.0, 25.0), (120.0, 30.0)])
def test_what_a_second_costs_is_bounded_at_any_frame_rate(
    face_bundle: Bundle, rate_hz: float, searched_hz: float
) -> None:
    times = times_at(rate_hz, 3.0)
    searched: list[float] = []
    scorer = SyncScorer(face_bundle, path="face", on_faces=lambda frame, seconds, faces: searched.append(seconds))
    feed(scorer, times, frames_of(speaking(times), absent(times)), audio(3.0))
    assert len(searched) == pytest.approx(3 * searched_hz, abs=1)
