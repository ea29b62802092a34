"""Clip descriptions: JSON, limits, and how they are drawn."""

import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synth_records import spec_of

from cavsync.data.synth import FAMILIES, ClipSpec, draw_specs
from cavsync.data.synth.spec import ENCODINGS
from cavsync.errors import ConfigError


@given(
    seed=st.integers(0, 2**40),
    family=st.sampled_from(FAMILIES),
    fps=st.sampled_from([Fraction(25, 2), Fraction(30000, 1001), Fraction(60)]),
    offset_ms=st.floats(-2000, 2000),
    silent=st.booleans(),
)
def test_a_spec_survives_json(seed: int, family: str, fps: Fraction, offset_ms: float, silent: bool) -> None:
    spec = ClipSpec(seed, family, fps=fps, audio_offset_ms=offset_ms, silent=silent)
    assert spec_of(json.loads(json.dumps(spec.to_json())) | {"file": "x.mp4"}) == spec


@pytest.mark.parametrize(
    "wrong",
    [
        {"family": "harp"},
        {"seed": -1},
        {"width": 191},
        {"height": 32},
        {"channels": 3},
        {"fps": Fraction(0)},
        {"audio_rate_hz": 8000},
        {"audio_offset_ms": 3001.0},
        {"drift_ms_per_minute": 40000.0},
        {"clutter": 1.5},
        {"speech": "parrot"},
    ],
)
def test_values_that_cannot_be_rendered_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        ClipSpec(**({"seed": 1, "family": "keys"} | wrong))  # type: ignore[arg-type]


def test_offset_drifts_linearly() -> None:
    spec = ClipSpec(1, "keys", audio_offset_ms=100.0, drift_ms_per_minute=60.0)
    assert [spec.offset_ms_at(time) for time in (0.0, 1.0, 60.0)] == pytest.approx([100, 101, 160])


def test_drawing_is_deterministic_balanced_and_stable_under_growth() -> None:
    specs = draw_specs(40, seed=5, max_offset_ms=800)
    assert specs == draw_specs(40, seed=5, max_offset_ms=800)
    assert specs != draw_specs(40, seed=6, max_offset_ms=800)
    assert specs[:12] == draw_specs(12, seed=5, max_offset_ms=800)
    assert Counter(spec.family for spec in specs) == dict.fromkeys(FAMILIES, 10)
    assert len({spec.seed for spec in specs}) == 40


def test_offsets_fill_their_range_evenly() -> None:
    offsets = [spec.audio_offset_ms for spec in draw_specs(600, seed=1, max_offset_ms=800)]
    assert max(map(abs, offsets)) <= 800
    # Standard error of the mean is 800 / sqrt(3 * 600) = 19 ms.
    assert abs(sum(offsets)) / 600 < 80
    counts = [sum(low <= offset < low + 400 for offset in offsets) for low in (-800, -400, 0, 400)]
    assert min(counts) > 100


def test_everything_varies_and_fits_its_encoding() -> None:
    specs = draw_specs(300, seed=2)
    assert {spec.container for spec in specs} == {"mp4", "webm", "mkv", "avi", "mpg"}
    assert {spec.channels for spec in specs} == {1, 2, 6}
    assert len({(spec.width, spec.height) for spec in specs}) > 4
    assert len({spec.fps for spec in specs}) == 9
    allowed = {(e.container, e.video_codec, e.audio_codec): e for e in ENCODINGS}
    for spec in specs:
        encoding = allowed[spec.container, spec.video_codec, spec.audio_codec]
        assert spec.audio_rate_hz in encoding.audio_rates_hz
        assert spec.channels <= encoding.max_channels
        assert not encoding.fps or spec.fps in encoding.fps


def test_shares_are_exact_and_disjoint() -> None:
    specs = draw_specs(20, seed=3, silent_share=0.25, static_share=0.5)
    assert sum(spec.silent for spec in specs) == 5
    assert sum(spec.static for spec in specs) == 10
    assert not any(spec.silent and spec.static for spec in specs)


def test_options_change_only_what_they_name() -> None:
    plain = draw_specs(8, seed=4, plain=True)
    assert {(s.width, s.height, s.fps, s.container, s.channels) for s in plain} == {(192, 144, Fraction(25), "mp4", 1)}
    shifted = draw_specs(8, seed=4, plain=True, max_offset_ms=500)
    assert [replace(spec, audio_offset_ms=0.0) for spec in shifted] == plain
    fixed = draw_specs(30, seed=4, size=(128, 96), fps=Fraction(15), container="mixed")
    assert {(s.width, s.height, s.fps) for s in fixed} == {(128, 96, Fraction(15))}
    assert "mpg" not in {s.container for s in fixed}  # MPEG-1/2 has no code for 15 fps


@pytest.mark.parametrize(
    "options",
    [
        {"families": ["harp"]},
        {"container": "ogg"},
        {"silent_share": 0.6, "static_share": 0.6},
        {"container": "mpg", "fps": Fraction(15)},
    ],
)
def test_impossible_draws_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        draw_specs(2, seed=1, **options)  # type: ignore[arg-type]
