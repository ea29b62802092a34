"""Curves, peaks and features against plain loops and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavsync.deploy.verdict.curve import (
    FACE_PRIOR_ROWS,
    FEATURE_NAMES,
    Curve,
    curve_features,
    curve_of_rows,
    curve_of_sums,
    find_peak,
    lag_grid_ms,
)

LAGS = lag_grid_ms(600.0, 40.0)


def curve_from(similarity: np.ndarray, num_frames: int = 100) -> Curve:
    return Curve(LAGS, similarity, np.tile(similarity, (4, 1)), num_frames)


def test_lag_grid_is_symmetric_and_within_the_range() -> None:
    np.testing.assert_array_equal(lag_grid_ms(100.0, 40.0), [-80, -40, 0, 40, 80])
    np.testing.assert_array_equal(lag_grid_ms(120.0, 40.0), [-120, -80, -40, 0, 40, 80, 120])


@given(lag_ms=st.floats(-540, 540), width_ms=st.floats(80, 400))
def test_parabola_finds_the_top_of_a_parabola(lag_ms: float, width_ms: float) -> None:
    similarity = 0.9 - ((LAGS - lag_ms) / width_ms) ** 2
    peak = find_peak(LAGS, similarity)
    assert peak is not None
    assert peak.lag_ms == pytest.approx(lag_ms, abs=1e-6)
    assert peak.similarity == pytest.approx(0.9, abs=1e-9)


def test_peak_at_the_end_of_what_is_known_is_at_the_edge() -> None:
    rising = LAGS.copy()
    assert find_peak(LAGS, rising) is not None
    assert find_peak(LAGS, rising).at_edge  # type: ignore[union-attr]
    rising[-5:] = np.nan
    peak = find_peak(LAGS, rising)
    assert peak is not None
    assert peak.at_edge
    assert peak.lag_ms == LAGS[-6]
    assert find_peak(LAGS, np.full_like(LAGS, np.nan)) is None


@given(seed=st.integers(0, 10_000), num_rows=st.integers(1, 60), missing=st.floats(0, 1))
def test_curve_is_the_mean_of_the_rows_that_know_the_lag(seed: int, num_rows: int, missing: float) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(num_rows, len(LAGS)))
    rows[random.random(rows.shape) < missing] = np.nan
    curve = curve_of_rows(LAGS, rows)
    for index in range(len(LAGS)):
        known = [value for value in rows[:, index] if not math.isnan(value)]
        if len(known) >= max(8, 0.4 * num_rows):
            assert curve.similarity[index] == pytest.approx(sum(known) / len(known), abs=1e-9)
        else:
            assert math.isnan(curve.similarity[index])
    counts = np.isfinite(rows).astype(np.int64)
    blocks = curve_of_sums(LAGS, np.nan_to_num(rows), counts, num_rows)
    np.testing.assert_allclose(blocks.similarity, curve.similarity, atol=1e-12)


def sums_of(seed: int, num_blocks: int, missing: float) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts of random similarities over blocks of five frames."""
    random = np.random.default_rng(seed)
    counts = np.where(random.random((num_blocks, len(LAGS))) < missing, 0, random.integers(0, 6, len(LAGS)))
    return random.normal(0.3, 0.2, counts.shape) * counts, counts.astype(np.int64)


@given(
    seed=st.integers(0, 10_000), num_blocks=st.integers(1, 30), missing=st.floats(0, 1), prior_rows=st.floats(0.1, 100)
)
def test_prior_rows_count_like_rows_of_the_mean(seed: int, num_blocks: int, missing: float, prior_rows: float) -> None:
    """By plain loops: a lag has as many rows more, each with the mean of all similarities; it needs none fewer."""
    sums, counts = sums_of(seed, num_blocks, missing)
    num_frames = 5 * num_blocks
    curve = curve_of_sums(LAGS, sums, counts, num_frames, prior_rows=prior_rows)
    total = sum(float(value) for value in sums.ravel())
    rows = sum(int(value) for value in counts.ravel())
    for index in range(len(LAGS)):
        known = int(counts[:, index].sum())
        if known >= max(8, 0.4 * num_frames):
            wanted = (float(sums[:, index].sum()) + prior_rows * total / rows) / (known + prior_rows)
            assert curve.similarity[index] == pytest.approx(wanted, abs=1e-9)
        else:
            assert math.isnan(curve.similarity[index])
    plain = curve_of_sums(LAGS, sums, counts, num_frames)
    np.testing.assert_array_equal(curve.part_similarity, plain.part_similarity)


@given(seed=st.integers(0, 10_000), num_blocks=st.integers(1, 30), missing=st.floats(0, 1))
def test_no_prior_rows_change_no_bit(seed: int, num_blocks: int, missing: float) -> None:
    """Sum divided by count, as it is without them; so the whole picture's scores stay what they were."""
    sums, counts = sums_of(seed, num_blocks, missing)
    total, known = sums.sum(axis=0), counts.sum(axis=0)
    mean = np.divide(total, known, out=np.full(len(LAGS), np.nan), where=known > 0)
    wanted = np.where(known >= max(8, 0.4 * 5 * num_blocks), mean, np.nan)
    for curve in (
        curve_of_sums(LAGS, sums, counts, 5 * num_blocks),
        curve_of_sums(LAGS, sums, counts, 5 * num_blocks, prior_rows=0.0),
    ):
        np.testing.assert_array_equal(curve.similarity, wanted)


def test_a_lag_with_few_rows_is_drawn_to_the_mean() -> None:
    """By chance the highest, it loses to one that is nearly as high and has many rows."""
    rows = np.full((100, len(LAGS)), 0.1)
    rows[:, 10] = 0.5
    rows[:45, 25], rows[45:, 25] = 0.52, np.nan
    plain, shrunk = (curve_of_rows(LAGS, rows, prior_rows=prior_rows) for prior_rows in (0.0, FACE_PRIOR_ROWS))
    mean = np.nanmean(rows)
    assert find_peak(LAGS, plain.similarity).index == 25  # type: ignore[union-attr]
    assert find_peak(LAGS, shrunk.similarity).index == 10  # type: ignore[union-attr]
    kept = (shrunk.similarity - mean) / (plain.similarity - mean)
    np.testing.assert_allclose(kept, np.where(np.arange(len(LAGS)) == 25, 45 / 57, 100 / 112))


def test_features_of_a_known_curve() -> None:
    similarity = np.tile([0.0, 0.1], len(LAGS))[: len(LAGS)].astype(float)
    similarity[15], similarity[2] = 0.9, 0.4  # lag 0 and a rival at -520 ms
    features = curve_features(curve_from(similarity))
    assert tuple(features) == FEATURE_NAMES
    median = float(np.median(similarity))
    spread = 1.4826 * float(np.median(np.abs(similarity - median))) + 1e-6
    assert features["peak_z"] == pytest.approx(min(30.0, (0.9 - median) / spread))
    assert features["margin_z"] == pytest.approx(min(30.0, 0.5 / spread))
    assert features["sharpness_z"] == pytest.approx(min(30.0, (0.9 - similarity[[12, 18]].mean()) / spread))
    assert features["peak_similarity"] == pytest.approx(0.9)
    assert features["contrast"] == pytest.approx(0.9 - median)
    assert features["agreement"] == 1.0
    assert features["log_frames"] == pytest.approx(math.log(100))


def test_agreement_counts_the_parts_that_peak_at_the_same_place() -> None:
    similarity = -np.abs(LAGS) / 600
    elsewhere = -np.abs(LAGS - 400) / 600
    near = -np.abs(LAGS - 80) / 600
    parts = np.stack([similarity, near, elsewhere, np.full_like(LAGS, np.nan)])
    assert curve_features(Curve(LAGS, similarity, parts, 50))["agreement"] == 0.5


def test_a_slope_beside_the_peak_is_no_rival() -> None:
    # One broad hill: nothing farther than 200 ms away is a maximum, so the margin is measured from the median.
    similarity = -((LAGS / 600) ** 2)
    features = curve_features(curve_from(similarity))
    assert features["margin_z"] == features["peak_z"]


def test_features_without_a_peak_are_zero() -> None:
    assert set(curve_features(curve_from(np.full_like(LAGS, np.nan))).values()) == {0.0}
