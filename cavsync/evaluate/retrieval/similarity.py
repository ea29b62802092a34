"""Similarities of the frames and audio of clips from their embeddings, and the ranks that follow from them.

Ranks are counted block by block, so that the matrix of all pairs is never in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cavsync.errors import ConfigError, DataError

Similarity = Literal["diagonal-mean", "diagonal-max", "full-mean", "full-max", "single-frame"]
SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)
# The order of summation changes cosines of float32 vectors by less than this.
TIE_TOLERANCE = 1e-6
BLOCK_CLIPS = 2048
# A block of `full-max` holds all pairs of frames.
MAX_BLOCK_PAIRS = 1 << 24

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class RankCounts:
    """Per query (N,): the number of wrong items of the gallery with a higher similarity than the right one (`before`)
    and with the same (`tied`)."""

    before: NDArray[np.int64]
    tied: NDArray[np.int64]

    @property
    def gallery_size(self) -> int:
        """Number of items in the gallery, including the right one."""
        return len(self.before)


def clip_similarity(visual: FloatArray, audio: FloatArray, kind: Similarity) -> FloatArray:
    """Return the similarity (n, m) of clips with unit vectors visual (n, F, D) and audio (m, F, D).

    It is computed from the F x F cosines of a pair: the mean or maximum of the diagonal (frame i with its own segment;
    CAV-MAE Sync reports the mean, arXiv 2505.01237), the mean or maximum of all, or the single cosine of frame F // 2
    (frame 5 of 10 in CAV-MAE, arXiv 2210.07839). Raises ConfigError for an unknown `kind`.
    """
    frames = visual.shape[1]
    if kind == "diagonal-mean":
        summed: FloatArray = visual.reshape(len(visual), -1) @ audio.reshape(len(audio), -1).T
        return summed / np.float32(frames)
    if kind == "full-mean":
        means: FloatArray = visual.mean(axis=1) @ audio.mean(axis=1).T
        return means
    if kind == "single-frame":
        single: FloatArray = visual[:, frames // 2] @ audio[:, frames // 2].T
        return single
    if kind == "diagonal-max":
        best: FloatArray = visual[:, 0] @ audio[:, 0].T
        for frame in range(1, frames):
            np.maximum(best, visual[:, frame] @ audio[:, frame].T, out=best)
        return best
    if kind == "full-max":
        pairs = visual.reshape(-1, visual.shape[2]) @ audio.reshape(-1, audio.shape[2]).T
        found: FloatArray = pairs.reshape(len(visual), frames, len(audio), frames).max(axis=(1, 3))
        return found
    raise ConfigError(f"Similarity '{kind}' is unknown: use one of {', '.join(SIMILARITIES)}.")


def rank_counts(
    visual: FloatArray,
    audio: FloatArray,
    kind: Similarity,
    *,
    block_clips: int = BLOCK_CLIPS,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> tuple[RankCounts, RankCounts]:
    """Rank each clip's audio for its frames (visual to audio), and its frames for its audio (audio to visual).

    visual, audio: unit vectors (N, F, D), in memory or memory-mapped. Similarities that differ by TIE_TOLERANCE or less
    are ties. `progress(done, total)` counts blocks. Raises DataError without clips or for values that are not finite,
    ConfigError for an unknown `kind`.
    """
    if visual.shape != audio.shape or visual.ndim != 3 or not visual.size:
        raise DataError(
            f"Embeddings have the shapes {visual.shape} and {audio.shape}: expected (N, F, D) twice, N > 0."
        )
    frames = visual.shape[1]
    if kind == "full-max":
        block_clips = max(1, min(block_clips, int(MAX_BLOCK_PAIRS**0.5) // frames))
    blocks = list(_blocks(len(visual), block_clips))
    own = np.concatenate([_own(visual[block], audio[block], kind) for block in _blocks(len(visual), 64)])
    counts = np.zeros((4, len(own)), dtype=np.int64)
    for number, rows in enumerate(blocks):
        # Copied once per block of rows rather than in every product.
        block_visual = np.ascontiguousarray(visual[rows])
        for columns in blocks:
            found = clip_similarity(block_visual, audio[columns], kind)
            if rows == columns:
                # The right item must not count as before or tied with itself.
                np.fill_diagonal(found, np.nan)
            for place, own_values, where, axis in ((0, own[rows, None], rows, 1), (2, own[columns], columns, 0)):
                before = np.count_nonzero(found > own_values + TIE_TOLERANCE, axis=axis)
                not_after = np.count_nonzero(found >= own_values - TIE_TOLERANCE, axis=axis)
                counts[place, where] += before
                counts[place + 1, where] += not_after - before
        progress(number + 1, len(blocks))
    return RankCounts(counts[0], counts[1]), RankCounts(counts[2], counts[3])


def _own(visual: FloatArray, audio: FloatArray, kind: Similarity) -> FloatArray:
    """Return the similarity (n,) of each clip's own frames and audio. Raises DataError for values that are not
    finite."""
    if not (np.isfinite(visual).all() and np.isfinite(audio).all()):
        raise DataError("Some embeddings are not finite: the checkpoint is damaged, use another one.")
    return np.diagonal(clip_similarity(np.ascontiguousarray(visual), audio, kind))


def _blocks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
