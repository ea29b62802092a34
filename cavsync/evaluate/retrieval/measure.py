"""Retrieval: rank the audio of all clips for each clip's frames, and the frames of all clips for each clip's audio."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cavsync.evaluate.retrieval.embeddings import ClipEmbeddings
from cavsync.evaluate.retrieval.similarity import SIMILARITIES, RankCounts, Similarity, rank_counts

DIRECTIONS = ("visual to audio", "audio to visual")

RankTable = dict[tuple[Similarity, str], RankCounts]
"""The ranks of every query by kind of similarity and direction."""


def rank_clips(
    embeddings: ClipEmbeddings,
    kinds: Sequence[Similarity] = SIMILARITIES,
    *,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> RankTable:
    """Rank all clips in both directions by each kind of similarity; `progress(kind, done, total)` counts blocks.

    Every clip is a query and every clip is in the gallery. Raises DataError for embeddings that are not finite.
    """
    ranks: RankTable = {}
    for kind in kinds:

        def report(done: int, total: int, kind: str = kind) -> None:
            progress(kind, done, total)

        both = rank_counts(embeddings.visual, embeddings.audio, kind, progress=report)
        ranks |= {(kind, direction): counts for direction, counts in zip(DIRECTIONS, both, strict=True)}
    return ranks
