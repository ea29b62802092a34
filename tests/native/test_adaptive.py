"""The adaptive search plans as Python's: decisions agree, and resolutions, which show how much was compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_clips import LEFT, RIGHT, closed, frames_of, speaking
from fake_bundle import write_fake_bundle
from native_library import NativeLibrary, NativeScorer
from native_streams import Stream, assert_same, fed, push
from sync_clips import make_audio, make_frames

from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.native import NativeBundle
from cavsync.deploy.native import NativeScorer as PackagedScorer
from cavsync.deploy.stream.search import COARSE, TRACK, WIDE

RATE_HZ = 16_000


def stream_of(frames: np.ndarray[Any, Any], samples: np.ndarray[Any, Any]) -> Stream:
    pieces: list[tuple[Any, ...]] = [(0.04 * number, frame) for number, frame in enumerate(frames)]
    pieces += [(place / RATE_HZ, samples[place : place + 1600], RATE_HZ) for place in range(0, len(samples), 1600)]
    return Stream(pieces).sorted()


def steady() -> Stream:
    return stream_of(make_frames(np.arange(0, 16, 0.04)), make_audio(0.0, 16 * RATE_HZ, audio_offset_ms=120.0))


def changing() -> Stream:
    """The offset changes, which loses the peak; then there is silence for long, and another offset."""
    parts = [(12, -200.0), (10, 300.0), (8, None), (10, 40.0)]
    samples, start = [], 0.0
    for seconds, offset_ms in parts:
        found = make_audio(start, seconds * RATE_HZ, audio_offset_ms=offset_ms or 0.0)
        samples.append(found if offset_ms is not None else found * 0)
        start += seconds
    return stream_of(make_frames(np.arange(0, start, 0.04)), np.concatenate(samples))


def set_back() -> Stream:
    """Both clocks begin again, after the search has found a peak."""
    first = [(100.0 + piece[0], *piece[1:]) for piece in steady().pieces if piece[0] < 8]
    return Stream(first + changing().pieces[:600])


STREAMS = {"steady": steady, "changing": changing, "set_back": set_back}
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "fine": {"hop_ms": 10.0},
    "live": {"max_lead_seconds": 5.6, "group_seconds": 0.32, "profile": "ebu-r37"},
    "other_grid": {"window_seconds": 3.0, "hop_ms": 20.0, "frame_rate_hz": 12.5, "max_offset_ms": 400.0},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", STREAMS)
def test_decisions_are_those_of_python(
    library: NativeLibrary, bundle_path: Path, name: str, options: dict[str, Any]
) -> None:
    stream = STREAMS[name]()
    native = NativeScorer(library, library.open_bundle(bundle_path), adaptive=1, **options)
    found = fed(native, stream)
    native.close()
    wanted = fed(SyncScorer(Bundle.open(bundle_path, threads=1), path="whole", adaptive=True, **options), stream)
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)
    # A part of the frames, and first of the lags, was compared.
    assert len({record["offset_resolution_ms"] for record in found}) > 1


def test_streams_reach_every_mode(bundle_path: Path) -> None:
    """Without this, the comparison could agree on the coarse search alone."""
    modes: set[str] = set()
    scorer = SyncScorer(
        Bundle.open(bundle_path, threads=1),
        path="whole",
        adaptive=True,
        hop_ms=10.0,
        on_row=lambda _: modes.add(scorer._search.mode),
    )
    fed(scorer, changing())
    assert modes == {COARSE, TRACK, WIDE}


@pytest.mark.parametrize("path", ["auto", "face"])
def test_faces_are_judged_beside_it(library: NativeLibrary, tmp_path: Path, path: str) -> None:
    """The whole picture is searched adaptively, faces as always."""
    folder = write_fake_bundle(tmp_path, face_places=(LEFT, RIGHT))
    times = np.arange(250) / 25
    stream = stream_of(frames_of(speaking(times), closed(times)), make_audio(0.0, 10 * RATE_HZ, audio_offset_ms=-160.0))
    native = NativeScorer(library, library.open_bundle(folder), path=path, adaptive=1)
    found = fed(native, stream)
    native.close()
    wanted = fed(SyncScorer(Bundle.open(folder, threads=1), path=path, adaptive=True), stream)
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)
    assert {record["path"] for record in found} == {"face"}


def test_results_do_not_depend_on_when_they_are_computed(library: NativeLibrary, bundle_path: Path) -> None:
    stream = changing()
    native = NativeScorer(library, library.open_bundle(bundle_path), adaptive=1)
    at_the_end = fed(native, stream)
    native.reset()
    found: list[dict[str, Any]] = []
    for number, piece in enumerate(stream.pieces):
        push(native, piece)
        if number % 13 == 0:
            found += native.process()
    assert found
    assert found + native.flush() == at_the_end
    native.close()


def test_it_is_an_option_in_python(build: Path, bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAVSYNC_LIBRARY", str(build / "libcavsync.so"))
    native = PackagedScorer(NativeBundle(bundle_path, threads=1), path="whole", adaptive=True)
    wanted = fed(SyncScorer(Bundle.open(bundle_path, threads=1), path="whole", adaptive=True), steady())
    found = fed(native, steady())
    assert [score.to_dict() for score in found] == [
        pytest.approx(score.to_dict(), abs=0.15) if score.audio_offset_ms is not None else score.to_dict()
        for score in wanted
    ]
    resolutions = [score.offset_resolution_ms for score in found]
    assert resolutions == pytest.approx([score.offset_resolution_ms for score in wanted])
    assert max(resolutions) > min(resolutions)
