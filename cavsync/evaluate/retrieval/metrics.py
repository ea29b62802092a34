"""Recall and rank, with ties counted by the mean over all orders of the tied items, so that no order is favoured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cavsync.evaluate.results.intervals import share_of_clips
from cavsync.evaluate.results.result import Metric
from cavsync.evaluate.retrieval.similarity import RankCounts

RECALLS = (1, 5, 10)

FloatArray = NDArray[np.float64]


def expected_ranks(counts: RankCounts) -> FloatArray:
    """Return the rank of the right item per query (N,), 1 is best; tied items have the mean of their ranks."""
    return 1.0 + counts.before + counts.tied / 2


def hits_within(counts: RankCounts, k: int) -> FloatArray:
    """Return the probability per query (N,) that the right item is among the first k, tied items in random order."""
    return np.clip((k - counts.before) / (counts.tied + 1), 0.0, 1.0)


def retrieval_metrics(counts: RankCounts, seed: int = 0) -> dict[str, Metric]:
    """Return `r_at_1`, `r_at_5`, `r_at_10`, `median_rank` and `mean_rank` with 95 % intervals over the queries, and
    `tied`, the share of queries with ties."""
    queries = counts.gallery_size
    metrics = {}
    for k in RECALLS:
        share = share_of_clips(hits_within(counts, k), seed)
        metrics[f"r_at_{k}"] = Metric(value=share.mean, low=share.low, high=share.high, unit="share", count=queries)
    for name, statistic in (("median_rank", np.median), ("mean_rank", np.mean)):
        rank = share_of_clips(expected_ranks(counts), seed, statistic)
        metrics[name] = Metric(value=rank.mean, low=rank.low, high=rank.high, better="lower", count=queries)
    metrics["tied"] = Metric(value=float((counts.tied > 0).mean()), unit="share", better="", count=queries)
    return metrics


def recall_curve(counts: RankCounts, max_k: int) -> tuple[list[float], list[float]]:
    """Return k and the share of queries whose right item is among the first k, for at most 100 values of k up to
    `max_k`."""
    ks = np.unique(np.round(np.geomspace(1, max(1, max_k), 100)).astype(np.int64))
    return [float(k) for k in ks], [float(hits_within(counts, int(k)).mean()) for k in ks]
