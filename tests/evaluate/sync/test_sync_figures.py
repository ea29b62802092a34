"""Figures of the sync test: counted by hand, and compared with brute force."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavsync.evaluate.results.group_intervals import share_of_groups, statistic_of_groups
from cavsync.evaluate.results.intervals import share_of_clips
from cavsync.evaluate.results.reliability import expected_calibration_error, reliability_curve
from cavsync.evaluate.sync.cases import SyncCase
from cavsync.evaluate.sync.judges import Answer
from cavsync.evaluate.sync.measure import ClipResult, SwappedTrial, SyncTrials, Trial
from cavsync.evaluate.sync.report.calibration_error import calibration_error
from cavsync.evaluate.sync.report.control_metrics import variant_figures, wrong_sound_figures
from cavsync.evaluate.sync.report.metrics import sync_metrics
from cavsync.evaluate.sync.report.source_offsets import corrections_ms, source_medians_ms
from cavsync.evaluate.sync.two_choices import two_choice_credit

# Between the edges of the bins, on which two ways to write a tenth may disagree.
CONFIDENCES = st.integers(0, 999).map(lambda number: (number + 0.5) / 1000)
PAIRS = st.lists(st.tuples(CONFIDENCES, st.booleans(), st.sampled_from("abcd")), min_size=1, max_size=60)


def case(name: str, source: str = "s", group: str = "", kind: str = "lamp") -> SyncCase:
    return SyncCase(Path(name), kind, source=source, name=name, group=group or name)


def clip(name: str, *answers: tuple[float, Answer], **about: str) -> ClipResult:
    return ClipResult(case(name, **about), {"m": tuple(Trial(ms, ms, answer) for ms, answer in answers)})


def test_figures_by_hand() -> None:
    """Errors of 5, 110, 90 ms and no estimate; one file without a face, which counts nowhere else."""
    clips = [
        clip("1", (0.0, Answer(5.0, True, 0.9)), (200.0, Answer(90.0, True, 0.9))),
        clip("2", (0.0, Answer(90.0, False, 0.2)), (200.0, Answer(None, False, None))),
        clip("3", (0.0, Answer(None, False, None, "face", has_face=False)), kind="siren"),
    ]
    report = sync_metrics(SyncTrials(clips))
    assert (report["clips"], report["groups"]) == (3, 3)
    found = report["kinds"]["all"]["methods"]["m"]["raw"]
    assert list(found) == ["all", "0", "+200"]
    figures = found["all"]
    assert [figures[f"within_{limit}_ms"]["mean"] for limit in (40, 100, 120)] == [0.25, 0.5, 0.75]
    assert figures["median_error_ms"]["mean"] == 100.0
    assert (figures["decided"]["mean"], figures["right_among_decided"]["mean"]) == (0.5, 1.0)
    assert (figures["no_face"]["mean"], figures["no_face"]["clips"]) == (0.2, 5)
    # 0.9 is right twice, 0.2 is right once.
    error = figures["calibration"]["expected_calibration_error"]
    assert (error["mean"], error["clips"]) == (pytest.approx((2 * 0.1 + 0.8) / 3), 3)
    assert found["0"]["within_40_ms"]["mean"] == 0.5
    assert report["kinds"]["siren"]["methods"]["m"]["raw"]["all"]["within_40_ms"]["mean"] is None
    assert report["kinds"]["siren"]["methods"]["m"]["raw"]["all"]["no_face"]["mean"] == 1.0


@given(PAIRS)
def test_the_calibration_error_is_that_of_the_curve(pairs: list[tuple[float, bool, str]]) -> None:
    confidence, right, groups = (np.array(values) for values in zip(*pairs, strict=True))
    found = calibration_error(confidence.astype(float), right.astype(float), groups.astype(np.str_))
    assert found.mean == pytest.approx(expected_calibration_error(reliability_curve(confidence, right)))
    by_hand = 0.0
    for tenth in range(10):
        inside = (confidence > tenth / 10) & (confidence < (tenth + 1) / 10)
        if inside.any():
            by_hand += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert found.mean == pytest.approx(by_hand)


def test_the_calibration_error_s_interval_is_that_of_brute_force() -> None:
    """Whole groups drawn one by one, with the error computed anew each time."""
    random = np.random.default_rng(3)
    groups = np.repeat([f"{n}" for n in range(12)], 5)
    confidence = random.uniform(0, 1, 60)
    right = (random.uniform(0, 1, 60) < confidence**2).astype(float)
    found = calibration_error(confidence, right, groups)
    errors = []
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(groups == f"{n}") for n in random.integers(12, size=12)])
        errors.append(expected_calibration_error(reliability_curve(confidence[rows], right[rows])))
    low, high = np.percentile(np.array(errors, dtype=float), [2.5, 97.5])
    assert (found.low, found.high) == (pytest.approx(low, abs=0.02), pytest.approx(high, abs=0.02))


def test_intervals_resample_groups() -> None:
    """Copies of a clip in its own group add nothing: the interval is that of the clips; as clips they would."""
    random = np.random.default_rng(0)
    values = random.integers(0, 2, 30).astype(float)
    names = np.array([f"{n}" for n in range(30)])
    single, copied = share_of_groups(values, names), share_of_groups(np.repeat(values, 9), np.repeat(names, 9))
    assert (single.mean, single.low, single.high) == (copied.mean, copied.low, copied.high)
    assert copied.clips == 270
    plain = share_of_clips(values)
    assert (single.low, single.high) == (pytest.approx(plain.low, abs=0.04), pytest.approx(plain.high, abs=0.04))
    alone = share_of_groups(values, np.full(30, "one"))
    assert (alone.mean, alone.low, alone.high) == (pytest.approx(values.mean()), None, None)
    agreed = share_of_groups(np.ones(20), np.repeat(["a", "b"], 10))
    assert (agreed.low, agreed.high) == (pytest.approx(0.025**0.5), 1.0)
    assert share_of_groups(np.array([np.nan]), np.array(["a"])).mean is None
    median = statistic_of_groups(np.array([1.0, np.inf, 3.0, np.nan]), names[:4], lambda found: float(np.median(found)))
    assert (median.mean, median.high, median.clips) == (3.0, None, 3)


def test_a_source_s_own_offset_comes_from_its_other_clips() -> None:
    """Three clips of a source that is 40 ms off, of which one cannot be told; two clips of another, never corrected."""
    clips = [
        clip("1", (0.0, Answer(40.0)), (100.0, Answer(141.0)), source="film"),
        clip("2", (0.0, Answer(44.0)), (100.0, Answer(150.0)), source="film"),
        clip("3", (0.0, Answer(300.0)), (100.0, Answer(None)), source="film"),
        clip("4", (0.0, Answer(None)), (100.0, Answer(140.0)), source="film"),
        clip("5", (0.0, Answer(-70.0)), (100.0, Answer(30.0)), source="tape"),
        clip("6", (0.0, Answer(-70.0)), (100.0, Answer(30.0)), source="tape"),
    ]
    assert source_medians_ms(clips, "m") == {"film": 44.0, "tape": -70.0}
    assert corrections_ms(clips, "m") == {"1": 172.0, "2": 170.0, "3": 42.0, "4": 44.0, "5": 0.0, "6": 0.0}
    ways = sync_metrics(SyncTrials(clips))["kinds"]["all"]["methods"]["m"]
    # Raw, 1 is within 40 ms and the other file of 4. Corrected, the wild clip 3 spoils 1 and 2, and only 4 is.
    assert ways["raw"]["all"]["within_40_ms"]["mean"] == pytest.approx(2 / 12)
    assert ways["without_source_offsets"]["all"]["within_40_ms"]["mean"] == pytest.approx(1 / 12)
    without_zero = [clip(found.case.name, (100.0, found.trials["m"][1].answer), source="film") for found in clips]
    assert set(corrections_ms(without_zero, "m").values()) == {0.0}


@settings(max_examples=100, deadline=None)
@given(st.floats(-300, 300), st.sampled_from([50.0, 100.0, 200.0, 300.0, 500.0]), st.integers(0, 99))
def test_two_choices_are_those_of_a_fine_curve(true_ms: float, shift_ms: float, seed: int) -> None:
    """A smooth curve sampled every 40 ms is asked at any lag; the truth is the function itself."""
    random = np.random.default_rng(seed)
    phases, rates = random.uniform(0, 6, 4), random.uniform(1, 4, 4)

    def curve(lag_ms: Any) -> Any:
        return np.sin(np.asarray(lag_ms)[..., None] / 1000 * rates + phases).sum(axis=-1)

    lags = np.arange(-800.0, 801.0, 40.0)
    centre, *sides = (float(curve(true_ms + shift)) for shift in (0, -shift_ms, shift_ms))
    known = [side for shift, side in zip((-shift_ms, shift_ms), sides, strict=True) if abs(true_ms + shift) <= 800]
    if min(abs(centre - side) for side in known) < 1e-4:
        return
    expected = np.mean([centre > side for side in known])
    assert two_choice_credit(lags, curve(lags), true_ms, shift_ms) == expected


def test_two_choices_without_a_curve_are_unknown() -> None:
    lags, flat = np.arange(-80.0, 81.0, 40.0), np.ones(5)
    assert np.isnan(two_choice_credit(np.empty(0), np.empty(0), 0.0, 50.0))
    assert np.isnan(two_choice_credit(lags, np.where(lags < 0, np.nan, flat), 0.0, 50.0))
    assert np.isnan(two_choice_credit(lags, flat, 0.0, 100.0))
    assert two_choice_credit(lags, flat, 0.0, 50.0) == 0.5
    assert two_choice_credit(lags, -lags, 40.0, 80.0) == 0.0


def test_wrong_sounds_are_counted() -> None:
    def swapped(name: str, answer: Answer) -> ClipResult:
        return ClipResult(case(name), {}, swapped=SwappedTrial("other", name == "1", {"m": answer}))

    clips = [
        swapped("1", Answer(10.0, True, 0.8)),
        swapped("2", Answer(10.0, False, 0.2)),
        swapped("3", Answer(None, False, None, has_face=False)),
        ClipResult(case("4"), {}),
    ]
    found = wrong_sound_figures(clips)["m"]
    assert (found["clips"], found["no_face"], found["sound_is_shorter"]) == (2, 1, 1)
    assert (found["decided"]["mean"], found["decided"]["clips"]) == (0.5, 2)
    assert found["confidences"] == [0.2, 0.8]
    assert found["confidence_p50"] == pytest.approx(0.5)
    assert wrong_sound_figures([ClipResult(case("4"), {})]) == {}


def test_movements_are_those_against_the_unchanged_clip() -> None:
    """Of four clips one is undecided unchanged; of the rest one moves by 5 ms, one by 30 ms, one becomes undecided."""
    decided = Answer(100.0, True)
    rows = [(decided, Answer(105.0, True)), (decided, Answer(70.0, True)), (decided, Answer(100.0, False)),
            (Answer(100.0, False), Answer(500.0, True))]  # fmt: skip
    clips = [
        ClipResult(case(f"{n}"), {}, variants={"": {"m": before}, "dim": {"m": after}})
        for n, (before, after) in enumerate(rows)
    ]
    found = variant_figures(clips)["m"]["dim"]
    assert found["clips"] == 3
    assert found["median_movement_ms"]["mean"] == pytest.approx(17.5)
    assert found["p95_movement_ms"]["mean"] == pytest.approx(float(np.percentile([5, 30], 95)))
    assert found["became_undetermined"]["mean"] == pytest.approx(1 / 3)
    assert found["moved"]["mean"] == pytest.approx(1 / 3)
    assert asdict(share_of_groups(np.array([]), np.array([], dtype=np.str_)))["clips"] == 0
