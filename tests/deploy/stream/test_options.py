"""The scoring options: limits, the grid that follows from them, and keywords in their place."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cavsync.deploy import Bundle, Profile, ScoringOptions, SyncScorer, Watcher, score_file
from cavsync.deploy.runtime.engine_keywords import EngineKeywords
from cavsync.deploy.stream.options import ScoringKeywords, split_keywords
from cavsync.errors import ConfigError
from cavsync.manifest import SyncSpec

SYNC = SyncSpec(frame_rate_hz=25.0, hop_ms=40.0, max_offset_ms=600.0, window_seconds=2.0, decision_step_seconds=0.5)
LARGEST = {
    "window_seconds": 3600,
    "max_offset_ms": 60_000,
    "frame_rate_hz": 1000,
    "hop_ms": 60_000,
    "max_lead_seconds": 3600,
    "group_seconds": 3600,
}


def test_keywords_and_fields_have_the_same_names_and_types() -> None:
    assert typing.get_type_hints(ScoringKeywords) == typing.get_type_hints(ScoringOptions)
    taken = typing.get_type_hints(Bundle.open)
    assert typing.get_type_hints(EngineKeywords) == {
        name: kind for name, kind in taken.items() if name not in ("path", "return")
    }


@pytest.mark.parametrize(("name", "largest"), LARGEST.items())
def test_every_number_has_its_limits(name: str, largest: float) -> None:
    assert getattr(ScoringOptions(**{name: largest}), name) == largest  # type: ignore[arg-type]
    for value in (0, -10, math.nan, math.inf, largest + 10):
        with pytest.raises(ConfigError, match=rf"^{name} is {value}: give more than 0 and at most {largest:g}$"):
            ScoringOptions(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hop_ms": 15}, "multiple of 10 ms"),
        ({"hop_ms": 5}, "multiple of 10 ms"),
        ({"profile": "none"}, "choose one of"),
        ({"path": "mouth"}, "path is 'mouth': choose one of auto, face, whole"),
        ({"profile": "custom"}, "give both limits"),
        ({"early_ms": 10.0}, "leave out the early and late limits"),
    ],
)
def test_options_no_bundle_can_be_scored_with(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ScoringOptions(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hop_ms": 310}, "hops of 310 ms, a range of ±600 ms .* at least two hops"),
        ({"max_offset_ms": 70}, "hops of 40 ms, a range of ±70 ms .* at least two hops"),
        (
            {"frame_rate_hz": 1000, "window_seconds": 100.1},
            "windows of 100.1 s.* at most 100000 frames in a window",
        ),
    ],
)
def test_options_that_contradict_the_bundle(options: dict[str, Any], words: str) -> None:
    scoring = ScoringOptions(**options)
    with pytest.raises(ConfigError, match=words):
        scoring.grid_for(SYNC)


def test_the_grid_is_the_bundles_with_the_options_in_its_place() -> None:
    assert dataclasses.asdict(ScoringOptions().grid_for(SYNC)) == dataclasses.asdict(SYNC)
    asked = {"frame_rate_hz": 10, "hop_ms": 20, "max_offset_ms": 400, "window_seconds": 3}
    for name, value in asked.items():
        grid = dataclasses.asdict(ScoringOptions(**{name: value}).grid_for(SYNC))  # type: ignore[arg-type]
        assert grid == dataclasses.asdict(SYNC) | {name: value}
        assert type(grid[name]) is float
    grid = ScoringOptions(hop_ms=20, max_offset_ms=50).grid_for(SYNC)
    assert (grid.hop_frames, grid.reach, list(grid.lags_ms)) == (2, 2, [-40, -20, 0, 20, 40])


def test_a_live_stream_waits_5_s_beyond_its_search_range() -> None:
    assert ScoringOptions().lead_seconds == 30
    assert ScoringOptions().for_live(SYNC).lead_seconds == pytest.approx(5.6)
    assert ScoringOptions(max_offset_ms=2000).for_live(SYNC).lead_seconds == pytest.approx(7)
    assert ScoringOptions(max_lead_seconds=2.0).for_live(SYNC).lead_seconds == 2


def test_a_live_stream_embeds_shorter_groups() -> None:
    assert ScoringOptions().batch_seconds == 0.64
    assert ScoringOptions(max_lead_seconds=2.0).for_live(SYNC).batch_seconds == 0.32
    assert ScoringOptions(group_seconds=0.5).for_live(SYNC).batch_seconds == 0.5


def test_profiles_by_name_resolved_and_custom() -> None:
    own = Profile("house", 20.0, 30.0)
    assert ScoringOptions(profile=own).limits is own
    assert ScoringOptions(profile="ebu-r37").limits == Profile("ebu-r37", 40.0, 60.0)
    assert ScoringOptions(profile="custom", early_ms=1.0, late_ms=2.0).limits == Profile("custom", 1.0, 2.0)


def test_the_printed_form_names_what_is_set() -> None:
    assert str(ScoringOptions()) == "adaptive=False, path=auto, profile=itu-bt1359-detect, all_audio=False"
    printed = str(ScoringOptions(hop_ms=20, adaptive=True, profile=Profile("house", 20.0, 30.0)))
    assert printed == "hop_ms=20, adaptive=True, path=auto, profile=house, all_audio=False"


def test_paths_follow_from_option_and_bundle(bundle: Bundle, face_bundle: Bundle) -> None:
    both, one = face_bundle.manifest, bundle.manifest
    assert [ScoringOptions(path=path).paths_for(both) for path in ("auto", "face", "whole")] == [
        ("whole", "face"),
        ("face",),
        ("whole",),
    ]
    assert [ScoringOptions(path=path).paths_for(one) for path in ("auto", "whole")] == [("whole",), ("whole",)]
    with pytest.raises(ConfigError, match="has no face path: use auto or whole"):
        ScoringOptions(path="face").check(one)


def test_keywords_replace_fields_of_the_options(bundle: Bundle) -> None:
    options = ScoringOptions(hop_ms=20, window_seconds=3)
    scorer = SyncScorer(bundle, options, window_seconds=4)
    assert (scorer.grid.hop_ms, scorer.window_seconds) == (20, 4)
    assert scorer.options == ScoringOptions(hop_ms=20, window_seconds=4)
    assert options.window_seconds == 3


def test_one_call_opens_a_bundle_and_sets_the_options(bundle_path: Path) -> None:
    scorer = SyncScorer.from_bundle(bundle_path, threads=1, engine="onnxruntime", hop_ms=20)
    assert scorer.grid.hop_ms == 20
    with pytest.raises(ConfigError, match="nonsense"):
        SyncScorer.from_bundle(bundle_path, engine="nonsense")
    assert split_keywords({"threads": 1, "cores": None, "adaptive": True}) == (
        {"threads": 1, "cores": None},
        {"adaptive": True},
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda bundle: SyncScorer(bundle, hopms=10),
        lambda _: SyncScorer.from_bundle("b", hopms=10),
        lambda bundle: score_file("clip.mp4", bundle, hopms=10),
        lambda bundle: Watcher("clip.mp4", bundle, hopms=10),
        lambda _: Watcher("clip.mp4", "b", hopms=10),
    ],
)
def test_a_misspelt_option_is_a_type_error(bundle: Bundle, call: Callable[[Bundle], object]) -> None:
    with pytest.raises(TypeError, match="hopms"):
        call(bundle)
