"""What follows from decisions, events and the plans of an adaptive search, is the same as in Python for any of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cavsync.deploy.native_structures import CAUSES, PHASES, STATES
from cavsync.deploy.stream.grid import Grid
from cavsync.deploy.stream.search import COARSE, TRACK, WIDE, Search
from cavsync.deploy.verdict.events import EventChange, EventTracker
from cavsync.deploy.verdict.records import UNDETERMINED, SyncScore

GRIDS = [
    (25.0, 40.0, 600.0, 2.0, 16),
    (25.0, 10.0, 600.0, 2.5, 8),
    (12.5, 20.0, 400.0, 6.0, 7),
    (5.0, 80.0, 900.0, 3.0, 3),
]
"""Frame rate, hop, range, window and group."""


def decisions(rng: np.random.Generator, *, set_back: bool) -> list[SyncScore]:
    """States in rows of random lengths, some of them undetermined with a best match, at times that may be set back."""
    found: list[SyncScore] = []
    time = 0.0
    while len(found) < 120:
        state = str(rng.choice(STATES))
        centre_ms = float(rng.uniform(-500, 500))
        for _ in range(int(rng.integers(1, 9))):
            time = 0.0 if set_back and rng.random() < 0.02 else time + 0.5
            has_match = state != UNDETERMINED or bool(rng.random() < 0.5)
            lag_ms = centre_ms + float(rng.normal(0, 20))
            found.append(
                SyncScore(
                    time_seconds=time,
                    window_seconds=2.0,
                    audio_offset_ms=-lag_ms - 3.0 if has_match else None,
                    offset_resolution_ms=10.0,
                    suggested_audio_delay_ms=None,
                    similarity=0.5,
                    confidence=0.5,
                    state=state,
                    profile="itu-bt1359-detect",
                    within_profile=None,
                    is_measured=has_match and bool(rng.random() < 0.6),
                    curve=SimpleNamespace(peak_lag_ms=lag_ms),  # type: ignore[arg-type]
                )
            )
    return found


def asked(build: Path, rule: str, records: list[SyncScore]) -> list[list[str]]:
    """The program's answers, in words."""
    lines = [rule]
    for record in records:
        offset_ms = "nan" if record.audio_offset_ms is None else repr(record.audio_offset_ms)
        peak: Any = record.curve
        lines.append(
            f"{record.time_seconds!r} {STATES.index(record.state)} {int(record.is_measured)} {offset_ms} "
            f"{peak.peak_lag_ms!r}"
        )
    done = subprocess.run(
        [build / "decision_rules"], input="\n".join(lines), capture_output=True, text=True, check=True
    )
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("rules", [(1, 1), (2, 3), (3, 2), (4, 1), (1, 5)])
@pytest.mark.parametrize("seed", range(4))
def test_events_are_those_of_python(build: Path, seed: int, rules: tuple[int, int]) -> None:
    records = decisions(np.random.default_rng(seed), set_back=seed % 2 == 1)
    begin_after, end_after = rules
    tracker, wanted = EventTracker(begin_after=begin_after, end_after=end_after), []
    for record in records:
        wanted += tracker.update(record)
    wanted += tracker.finish(records[-1].time_seconds)
    found = [
        EventChange(
            phase=PHASES[int(phase)],
            state=STATES[int(state)],
            start_seconds=float(start),
            end_seconds=None if end == "nan" else float(end),
            extreme_ms=float(extreme),
            cause=CAUSES[int(cause)],
        )
        for phase, state, start, end, extreme, cause in asked(build, f"events {begin_after} {end_after}", records)
    ]
    assert found == wanted
    assert len(found) >= 8


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_plans_are_those_of_python(build: Path, seed: int, grid: tuple[float, float, float, float, int]) -> None:
    records = decisions(np.random.default_rng(seed), set_back=seed % 2 == 1)
    rate_hz, hop_ms, max_offset_ms, window_seconds, group = grid
    search = Search(
        Grid(rate_hz, hop_ms, max_offset_ms, window_seconds, decision_step_seconds=0.5),
        is_adaptive=True,
        group_instants=group,
    )
    plans, modes = [search.next_group()], {search.mode}
    for record in records:
        search.note(record)
        modes.add(search.mode)
        plans.append(search.next_group())
    wanted = [[str(plan.stride), str(plan.phase), "".join(str(int(lag)) for lag in plan.lags)] for plan in plans]
    assert asked(build, " ".join(["search", *map(str, grid)]), records) == wanted
    assert modes == {COARSE, TRACK, WIDE}
