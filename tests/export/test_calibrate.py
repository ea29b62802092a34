"""The calibration recovers a known truth."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavsync.deploy.stream.rows import Row
from cavsync.export.calibrate import ClipRows, collect, file_spans, window_spans
from cavsync.export.fit_calibration import FEATURES, Examples, fit
from cavsync.export.logistic import fit_logistic
from cavsync.manifest import SyncSpec

SYNC = SyncSpec(frame_rate_hz=25, hop_ms=40, max_offset_ms=1000, window_seconds=2.5, decision_step_seconds=0.5)


def made_examples(count: int, seed: int, weights: list[float], bias: float) -> Examples:
    """Windows whose chance to be right is a known logistic function of their features."""
    random = np.random.default_rng(seed)
    features = random.uniform(0, 6, (count, len(FEATURES)))
    chance = 1 / (1 + np.exp(-(features @ np.asarray(weights) + bias)))
    right = random.random(count) < chance
    wrong_ms = random.choice([-1, 1], count) * random.uniform(200, 900, count)
    errors = np.where(right, random.normal(12, 20, count).clip(-119, 119), wrong_ms)
    return Examples(features, errors, np.arange(count) % 20)


def test_fit_recovers_the_probability() -> None:
    """Weights and bias of 20,000 windows come back to within their uncertainty; useless features weigh nothing."""
    weights, bias = [1.2, 0.8, 0.0, 0.5, 0.0], -6.0
    examples = made_examples(20_000, 0, weights, bias)
    found, found_bias = fit_logistic(examples.features, examples.right)
    chance = 1 / (1 + np.exp(-(examples.features @ np.asarray(weights) + bias)))
    predicted = 1 / (1 + np.exp(-(examples.features @ found + found_bias)))
    assert np.abs(predicted - chance).mean() < 0.03
    assert (found >= 0).all()


def test_threshold_resolution_and_zero_point() -> None:
    """Above the threshold 90 % are right; the constant 12 ms comes back as the zero point; resolution is the spread."""
    examples = made_examples(4000, 1, [1.2, 0.8, 0.0, 0.5, 0.0], -6.0)
    report = fit(examples, source="test")
    calibration = report.calibration
    assert calibration.num_clips == 20
    assert report.precision == pytest.approx(0.9, abs=0.03)
    logit = examples.features @ np.asarray(calibration.weights) + calibration.bias
    accepted = 1 / (1 + np.exp(-logit)) >= calibration.threshold
    assert examples.right[accepted].mean() >= 0.89
    assert calibration.zero_point_ms == pytest.approx(12, abs=2)
    # Median of |N(0, 20)| is 13.5.
    assert calibration.resolution_ms == pytest.approx(14, abs=2)


def test_the_longest_example_is_noted_where_the_length_counts() -> None:
    counting = made_examples(4000, 1, [1.2, 0.8, 0.0, 0.5, 0.8], -8.0)
    frames = np.exp(counting.features[:, FEATURES.index("log_frames")])
    assert fit(counting, source="test").calibration.max_frames == round(frames.max())
    # The shorter an example, the more often it is right: its length, which may not count against it, counts nothing.
    features = counting.features.copy()
    features[:, FEATURES.index("log_frames")] = np.where(counting.right, 3.0, 6.0)
    assert fit(Examples(features, counting.errors_ms, counting.clips), source="test").calibration.max_frames is None


def test_no_bias_where_there_is_none() -> None:
    """A median within its own uncertainty is not corrected for."""
    examples = made_examples(400, 2, [1.2, 0.8, 0.0, 0.5, 0.0], -6.0)
    random = np.random.default_rng(3)
    centred = np.where(examples.right, random.normal(0, 20, 400).clip(-119, 119), examples.errors_ms)
    report = fit(Examples(examples.features, centred, examples.clips), source="test")
    assert report.calibration.zero_point_ms == 0


def test_windows_of_one_clip_are_no_independent_evidence_of_a_bias() -> None:
    """Six clips that err by their own constants around 0: many windows each, but still only six clips."""
    examples = made_examples(3000, 4, [1.2, 0.8, 0.0, 0.5, 0.0], -6.0)
    clips = np.arange(3000) % 6
    constants = np.array([-30.0, -8.0, 4.0, 14.0, 22.0, 35.0])
    errors = np.where(examples.right, constants[clips], examples.errors_ms)
    assert fit(Examples(examples.features, errors, clips), source="test").calibration.zero_point_ms == 0


def made_clip(true_lag_ms: float, *, level_dbfs: float = -20.0, motion: float = 5.0) -> ClipRows:
    """Six seconds whose similarity is a bump of 60 ms around the true lag."""
    lags = np.arange(-62, 63) * 40.0
    similarity = np.exp(-0.5 * ((lags - true_lag_ms) / 60) ** 2) + 0.05 * np.sin(lags / 130.0)
    rows = [Row(index * 0.04, similarity, motion, level_dbfs, 0.04) for index in range(150)]
    return ClipRows("clip", rows, lags, true_lag_ms)


def windows(rows: list[Row]) -> Iterator[list[Row]]:
    """The windows of SYNC."""
    return window_spans(rows, SYNC)


@given(seconds=st.floats(0.2, 20), seed=st.integers(0, 2**31))
def test_windows_and_files_are_spans_of_the_clip(seconds: float, seed: int) -> None:
    """Windows have the length of a decision, or that of a shorter clip; files begin with the whole clip, and every
    span is without holes."""
    rows = [Row(index * 0.04, np.zeros(3), 1.0, -20.0, 0.04) for index in range(max(2, round(seconds / 0.04)))]
    length_seconds = rows[-1].time_seconds
    for span in windows(rows):
        wanted_seconds = min(SYNC.window_seconds, length_seconds)
        assert span[-1].time_seconds - span[0].time_seconds == pytest.approx(wanted_seconds, abs=0.05)
    files = list(file_spans(rows, np.random.default_rng(seed)))
    assert files[0] == rows
    assert len(files) == 1 or length_seconds > 2.5
    for span in files[1:]:
        assert 2.4 <= span[-1].time_seconds - span[0].time_seconds <= length_seconds
        assert span == rows[rows.index(span[0]) : rows.index(span[-1]) + 1]


@settings(max_examples=20, deadline=None)
@given(true_lag_ms=st.floats(-120, 120), seed=st.integers(0, 2**31))
def test_known_bumps_are_right_where_a_right_answer_exists(true_lag_ms: float, seed: int) -> None:
    """Shifts inside the range give errors within half a hop; shifts beyond it are marked as having no answer."""
    examples = collect([made_clip(true_lag_ms)], SYNC, np.random.default_rng(seed), windows)
    solvable = np.isfinite(examples.errors_ms)
    assert solvable.any()
    assert np.abs(examples.errors_ms[solvable]).max() <= 20
    assert not examples.right[~solvable].any()


@pytest.mark.parametrize("lack", [{"level_dbfs": -90.0}, {"motion": 0.0}])
def test_silence_and_still_frames_teach_nothing(lack: dict[str, float]) -> None:
    """The scorer never judges them, so they must not shape its confidence."""
    assert len(collect([made_clip(0.0, **lack)], SYNC, np.random.default_rng(0), windows).right) == 0


def test_few_windows_without_an_answer_are_accepted() -> None:
    """Where a tenth of the unsolvable windows looks convincing, the threshold rises until no more than that passes."""
    examples = made_examples(4000, 4, [1.2, 0.8, 0.0, 0.5, 0.0], -6.0)
    unsolvable = np.arange(4000) % 4 == 0
    errors = np.where(unsolvable, np.nan, examples.errors_ms)
    report = fit(Examples(examples.features, errors, examples.clips), source="test")
    assert report.false_accepted_share <= 0.1 or report.calibration.threshold == pytest.approx(0.95)
