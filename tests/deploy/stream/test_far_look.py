"""Similarities beyond the search range equal those computed one by one, in whatever order moments come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_bundle import write_fake_bundle
from numpy.typing import NDArray
from sync_clips import write_clip

from cavsync.deploy import Bundle, FileScore, score_file
from cavsync.deploy.stream import far_look
from cavsync.deploy.stream.far_look import CELL_SECONDS, FarLook
from cavsync.deploy.stream.grid import Grid

GRID = Grid(25.0, 40.0, 400.0, 2.0, 0.5)
REACH, HOP_SECONDS, DIM = 10, 0.04, 5
NUM_INSTANTS, NUM_MOMENTS = 1500, 300
OFFSET_MS = 900.0
"""Beyond the range of the bundle, ±600 ms."""


@pytest.mark.parametrize("disorder", [0, 20])
@pytest.mark.parametrize("chunk_seconds", [0.5, 10.0])
def test_the_curve_is_the_mean_of_all_moments(
    disorder: int, chunk_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(far_look, "CHUNK_SECONDS", chunk_seconds)
    random = np.random.default_rng(3)
    audio = random.normal(size=(NUM_INSTANTS, DIM)).astype(np.float32)
    audio[700:720] = np.nan
    moments = random.normal(size=(NUM_MOMENTS, DIM)).astype(np.float32)
    times = (np.arange(NUM_MOMENTS) + 0.3) * CELL_SECONDS
    order = np.argsort(np.arange(NUM_MOMENTS) + random.uniform(0, disorder, NUM_MOMENTS))
    look = FarLook(GRID, DIM, disorder * CELL_SECONDS)
    for index in order:
        below, share = place(times[index])
        look.note(0, 0, times[index], (below, share), moments[index], around(audio, below, REACH))
    curve = look.curve()
    assert np.array_equal(curve.lags_ms, np.arange(-20, 21) * 40.0)
    rows = []
    for time, moment in zip(times, moments, strict=True):
        below, share = place(time)
        # Audio is embedded only within the range of a moment; nothing lies before the first and after the last.
        known = around(audio, below, 2 * REACH) @ moment
        rows.append((1 - share) * known[:-1] + share * known[1:])
    expected = np.array(rows)
    heard = range(place(times[0])[0] - REACH, place(times[-1])[0] + REACH + 2)
    for row, time in zip(expected, times, strict=True):
        instants = place(time)[0] + np.arange(-2 * REACH, 2 * REACH + 1)
        row[(instants < heard.start) | (instants + 1 >= heard.stop)] = np.nan
    assert curve.similarity == pytest.approx(np.nanmean(expected, axis=0), abs=1e-5)
    assert curve.num_frames == NUM_MOMENTS


def test_denser_rows_take_the_place_of_thin_ones() -> None:
    audio = np.random.default_rng(4).normal(size=(400, DIM)).astype(np.float32)
    moments = np.random.default_rng(5).normal(size=(60, DIM)).astype(np.float32)
    curves = []
    for steps in ((1,), (4, 1)):
        look = FarLook(GRID, DIM, 100.0)
        for step in steps:
            for index, moment in enumerate(moments):
                below, share = place((index + 0.3) * CELL_SECONDS)
                embedded = around(audio, below, REACH)
                embedded[(below - REACH + np.arange(len(embedded))) % step != 0] = np.nan
                look.note(0, 0, (index + 0.3) * CELL_SECONDS, (below, share), moment, embedded, step=step)
        curves.append(look.curve())
    assert curves[1].num_frames == curves[0].num_frames == 60
    assert np.array_equal(curves[1].similarity, curves[0].similarity, equal_nan=True)


def test_tracks_and_epochs_are_kept_apart() -> None:
    """The clock is set back to where it was, with other audio."""
    random = np.random.default_rng(6)
    look = FarLook(GRID, DIM, 0.0)
    alone = FarLook(GRID, DIM, 0.0)
    for epoch in range(2):
        audio = random.normal(size=(400, DIM)).astype(np.float32)
        for index in range(60):
            below, share = place((index + 0.3) * CELL_SECONDS)
            near = around(audio, below, REACH)
            for track in range(2):
                moment = random.normal(size=DIM).astype(np.float32)
                look.note(epoch, track, (index + 0.3) * CELL_SECONDS, (below, share), moment, near)
                if track == 1:
                    alone.note(epoch, 0, (index + 0.3) * CELL_SECONDS, (below, share), moment, near)
    assert look.curve([1]).num_frames == 120
    assert look.curve([1]).similarity == pytest.approx(alone.curve().similarity, nan_ok=True)
    assert look.curve([0, 1]).num_frames == 240
    assert look.curve([7]).num_frames == 0


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("face_places", [(), ((0.5, 0.5),)])
def test_a_file_whose_offset_lies_beyond_the_range(
    face_places: tuple[tuple[float, float], ...], adaptive: bool, tmp_path: Path
) -> None:
    """A bundle that trusts everything, and looks at the whole clip at once."""
    trusting: dict[str, Any] = {"bias": 20.0, "window_seconds": 7.5, "face_places": face_places}
    bundle = Bundle.open(write_fake_bundle(tmp_path / "meter", **trusting), threads=1)
    for number, offset_ms in enumerate((OFFSET_MS, -OFFSET_MS)):
        clip = write_clip(tmp_path / f"{number}.mp4", seconds=8.0, audio_offset_ms=offset_ms)
        score = scored(clip, bundle, adaptive=adaptive).summary.score
        assert not score.is_measured
        assert (score.state, score.suggested_audio_delay_ms) == ("undetermined", None)
        assert f"beyond ±600 ms, near {offset_ms / 1000:+.1f} s" in (score.reason or "")
        assert "--max-offset-ms 1200" in (score.reason or "")
        farther = scored(clip, bundle, adaptive=adaptive, max_offset_ms=1200.0).summary.score
        assert farther.is_measured
        # An adaptive search compares lags that are 80 ms apart.
        assert farther.audio_offset_ms == pytest.approx(offset_ms, abs=40)


def scored(clip: Path, bundle: Bundle, **options: float) -> FileScore:
    return score_file(clip, bundle, **options)  # type: ignore[arg-type]


def place(time_seconds: float) -> tuple[int, float]:
    """The instant at or below a moment, and the distance from it as a share of a hop; instant 100 is at 0 s."""
    position = 100 + time_seconds / HOP_SECONDS
    below = int(np.floor(position + 1e-6))
    share = position - below
    return below, 0.0 if share < 1e-6 else share


def around(audio: NDArray[np.float32], below: int, reach: int) -> NDArray[np.float32]:
    return audio[below - reach : below + reach + 2].copy()
