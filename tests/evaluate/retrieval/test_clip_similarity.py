"""Similarities and ranks against nested loops, all orders of tied items, and torchmetrics."""

import tracemalloc
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchmetrics.functional.retrieval import retrieval_hit_rate, retrieval_reciprocal_rank

from cavsync.errors import ConfigError, DataError
from cavsync.evaluate.retrieval.metrics import expected_ranks, hits_within, recall_curve, retrieval_metrics
from cavsync.evaluate.retrieval.similarity import SIMILARITIES, RankCounts, Similarity, clip_similarity, rank_counts

Array = NDArray[np.float32]


def vectors(clips: int, frames: int, width: int, seed: int) -> Array:
    values = np.random.default_rng(seed).standard_normal((clips, frames, width))
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


def by_loops(visual: Array, audio: Array, kind: str) -> NDArray[np.float64]:
    """One pair of frames at a time, in float64."""
    frames = visual.shape[1]
    found = np.empty((len(visual), len(audio)))
    for i, j in product(range(len(visual)), range(len(audio))):
        cosines = [[float(np.dot(v, a)) for a in audio[j].astype(float)] for v in visual[i].astype(float)]
        diagonal = [cosines[frame][frame] for frame in range(frames)]
        everything = [value for row in cosines for value in row]
        found[i, j] = {
            "diagonal-mean": sum(diagonal) / frames,
            "diagonal-max": max(diagonal),
            "full-mean": sum(everything) / frames**2,
            "full-max": max(everything),
            "single-frame": diagonal[frames // 2],
        }[kind]
    return found


def counts_by_loops(similarity: NDArray[np.float64]) -> RankCounts:
    own = np.diag(similarity)
    before = [sum(row[j] > own[i] + 1e-6 for j in range(len(row)) if j != i) for i, row in enumerate(similarity)]
    tied = [sum(abs(row[j] - own[i]) <= 1e-6 for j in range(len(row)) if j != i) for i, row in enumerate(similarity)]
    return RankCounts(np.array(before), np.array(tied))


@pytest.mark.parametrize("kind", SIMILARITIES)
@settings(max_examples=15, deadline=None)
@given(clips=st.integers(1, 7), frames=st.integers(1, 5), block=st.integers(1, 8), seed=st.integers(0, 10_000))
def test_similarity_and_ranks_are_those_of_loops(
    kind: Similarity, clips: int, frames: int, block: int, seed: int
) -> None:
    """Whatever the size of the blocks, both ways."""
    visual, audio = vectors(clips, frames, 6, seed), vectors(clips, frames, 6, seed + 1)
    expected = by_loops(visual, audio, kind)
    np.testing.assert_allclose(clip_similarity(visual, audio, kind), expected, atol=1e-6)
    for found, matrix in zip(rank_counts(visual, audio, kind, block_clips=block), (expected, expected.T), strict=True):
        wanted = counts_by_loops(matrix)
        np.testing.assert_array_equal(found.before, wanted.before)
        np.testing.assert_array_equal(found.tied, wanted.tied)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_ties_count_as_the_mean_over_all_orders(data: st.DataObject) -> None:
    """Few levels of similarity, so that most items tie: every order of the tied items is tried."""
    size = data.draw(st.integers(1, 5))
    levels = data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=size, max_size=size))
    right = data.draw(st.integers(0, size - 1))
    similarity = np.array([levels[place] for place in range(size)])
    others = np.delete(similarity, right)
    counts = RankCounts(np.array([(others > similarity[right]).sum()]), np.array([(others == similarity[right]).sum()]))
    orders = [sorted(order, key=lambda item: -similarity[item]) for order in permutations(range(size))]
    ranks = np.array([order.index(right) + 1 for order in orders])
    assert expected_ranks(counts)[0] == pytest.approx(ranks.mean())
    for k in range(1, size + 2):
        assert hits_within(counts, k)[0] == pytest.approx((ranks <= k).mean())


@settings(max_examples=20, deadline=None)
@given(clips=st.integers(2, 12), seed=st.integers(0, 1000))
def test_recall_is_torchmetrics_(clips: int, seed: int) -> None:
    """Without ties: hit rate and reciprocal rank of an independent library."""
    visual, audio = vectors(clips, 2, 5, seed), vectors(clips, 2, 5, seed + 7)
    # torchmetrics takes what is not above 0 as not retrieved.
    similarity = torch.from_numpy(clip_similarity(visual, audio, "full-mean")) + 2
    found, _ = rank_counts(visual, audio, "full-mean")
    for query in range(clips):
        target = torch.arange(clips) == query
        for k in (1, 5, 10):
            wanted = retrieval_hit_rate(similarity[query], target, top_k=min(k, clips))
            assert hits_within(found, k)[query] == pytest.approx(float(wanted))
        wanted = retrieval_reciprocal_rank(similarity[query], target)
        assert 1 / expected_ranks(found)[query] == pytest.approx(float(wanted))


@pytest.mark.parametrize("kind", SIMILARITIES)
def test_a_collapsed_model_is_at_chance(kind: Similarity) -> None:
    """All embeddings alike: everything ties, and no order of the gallery may look like knowledge."""
    same = np.repeat(vectors(1, 4, 8, 0), 40, axis=0)
    for counts in rank_counts(same, same[:, ::-1].copy(), kind, block_clips=7):
        metrics = retrieval_metrics(counts)
        assert metrics["r_at_1"].value == pytest.approx(1 / 40)
        assert metrics["r_at_10"].value == pytest.approx(10 / 40)
        assert metrics["median_rank"].value == pytest.approx(20.5)
        assert metrics["tied"].value == 1.0


def test_perfect_and_worst() -> None:
    """Its own audio first, or last, for every clip."""
    base = vectors(12, 3, 32, 3)
    best, _ = rank_counts(base, base, "diagonal-mean")
    assert expected_ranks(best).tolist() == [1.0] * 12
    worst, _ = rank_counts(base, -base, "diagonal-mean")
    assert expected_ranks(worst).tolist() == [12.0] * 12
    assert recall_curve(worst, 12)[1][-1] == 1.0
    assert retrieval_metrics(worst)["r_at_10"].value == 0.0


def test_ranks_have_intervals() -> None:
    """The median's is that of resampling by hand; the mean's is about that of a normal approximation."""
    random = np.random.default_rng(2)
    counts = RankCounts(random.integers(0, 400, 400), np.zeros(400, dtype=np.int64))
    metrics, ranks = retrieval_metrics(counts), expected_ranks(counts)
    medians = [np.median(random.choice(ranks, len(ranks))) for _ in range(2000)]
    for name, low, high in (
        ("median_rank", *np.percentile(medians, [2.5, 97.5])),
        ("mean_rank", *(ranks.mean() + sign * 1.96 * ranks.std() / np.sqrt(len(ranks)) for sign in (-1, 1))),
    ):
        assert metrics[name].low == pytest.approx(low, abs=5)
        assert metrics[name].high == pytest.approx(high, abs=5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_cannot_be_ranked_is_refused(bad: float) -> None:
    visual, audio = vectors(4, 2, 3, 0), vectors(4, 2, 3, 1)
    audio[2, 1, 0] = bad
    with pytest.raises(DataError, match="not finite"):
        rank_counts(visual, audio, "diagonal-mean")
    with pytest.raises(DataError, match="expected"):
        rank_counts(visual, audio[:3], "diagonal-mean")
    with pytest.raises(DataError, match="N > 0"):
        rank_counts(visual[:0], audio[:0], "diagonal-mean")
    with pytest.raises(ConfigError, match="unknown"):
        clip_similarity(visual, visual, "cosine")  # type: ignore[arg-type]


def test_many_clips_need_no_matrix() -> None:
    """12,000 clips: their matrix would have 576 MB in float32; the peak stays far below, with vectors of 6 MB,
    also that of the intervals, whose 2000 resamples would have 192 MB."""
    visual, audio = vectors(12_000, 2, 32, 0), vectors(12_000, 2, 32, 1)
    tracemalloc.start()
    counts, _ = rank_counts(visual, audio, "diagonal-mean", block_clips=1024)
    retrieval_metrics(counts)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 100e6
