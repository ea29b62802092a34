"""The order in which an epoch visits the clips, which depends on the seed and the epoch only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

ClipDraw = tuple[int, int]
Order = NDArray[np.int64]

# Clips of this many shards are mixed: enough to shuffle well, few enough that the system can cache their files.
WINDOW_SHARDS = 16
# Part of the seed of weighted draws, so that they are independent of the order's.
WEIGHTED_STREAM = 0xBA1


def epoch_order(num_clips: int, seed: int, epoch: int, shard_of: Order | None = None) -> Order:
    """Return a permutation of range(num_clips).

    With `shard_of` (num_clips,), the shard of each clip, shards are shuffled and taken sixteen at a time, and the clips
    of those sixteen are shuffled, so that reads stay within a few files.
    """
    random = np.random.default_rng((seed, epoch))
    if shard_of is None:
        return random.permutation(num_clips)
    shards = np.unique(shard_of)
    rank = np.empty(int(shards.max(initial=-1)) + 1, dtype=np.int64)
    rank[shards] = random.permutation(len(shards))
    window = rank[shard_of] // WINDOW_SHARDS
    return np.asarray(np.lexsort((random.random(num_clips), window)), dtype=np.int64)


class PlannedBatches(Sampler[list[ClipDraw]]):
    """The clips (indices from `clips`) of each part of a batch, from `first_step` on, for one of several processes.

    A batch may hold the end of one epoch and the start of the next, so each epoch visits every clip exactly once. The
    plan depends on the seed only: resuming is exact, and any number of processes makes the same batches, provided that
    the data set holds at least one batch (smaller data sets make smaller batches). A step's batch of `batch_clips` is
    divided into `parts` (gradient accumulation), and each part among `num_ranks` processes. A clip that occurs several
    times in `clips` is visited as often; a draw is (clip, visit), with a new visit number each time.

    `weights` (one per entry of `clips`, adding up to 1) replace "every clip once": an epoch draws as many clips as
    there are, with replacement, by their weights.
    """

    def __init__(
        self,
        clips: Sequence[int],
        batch_clips: int,
        seed: int,
        *,
        first_step: int,
        num_steps: int,
        rank: int = 0,
        num_ranks: int = 1,
        parts: int = 1,
        shard_of: Order | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        self.weights = weights
        self.clips, self.seed, self.shard_of = np.asarray(clips, dtype=np.int64), seed, shard_of
        self._repetition = _repetition(self.clips)
        self._visits_per_epoch = int(self._repetition.max(initial=0)) + 1
        self.batch_clips = batch_size(len(clips), batch_clips, num_ranks * parts)
        self.first_step, self.num_steps = first_step, num_steps
        self.rank, self.num_ranks, self.parts = rank, num_ranks, parts

    def __len__(self) -> int:
        return max(0, self.num_steps - self.first_step) * self.parts

    def __iter__(self) -> Iterator[list[ClipDraw]]:
        share = self.batch_clips // (self.parts * self.num_ranks)
        orders: dict[int, Order] = {}
        for step in range(self.first_step, self.num_steps):
            for part in range(self.parts):
                first = step * self.batch_clips + (part * self.num_ranks + self.rank) * share
                yield [self._draw(place, orders) for place in range(first, first + share)]

    def _draw(self, place: int, orders: dict[int, Order]) -> ClipDraw:
        epoch, within = divmod(place, len(self.clips))
        if epoch not in orders:
            orders.clear()
            orders[epoch] = self._epoch(epoch)
        entry = orders[epoch][within]
        if self.weights is not None:
            return int(self.clips[entry]), place
        return int(self.clips[entry]), epoch * self._visits_per_epoch + int(self._repetition[entry])

    def _epoch(self, epoch: int) -> Order:
        """Return the positions in `clips` that the epoch visits, in order."""
        chosen = np.arange(len(self.clips))
        if self.weights is not None:
            random = np.random.default_rng((self.seed, epoch, WEIGHTED_STREAM))
            chosen = random.choice(len(self.clips), size=len(self.clips), p=self.weights)
        shards = None if self.shard_of is None else self.shard_of[self.clips[chosen]]
        order: Order = chosen[epoch_order(len(chosen), self.seed, epoch, shards)]
        return order


def _repetition(clips: Order) -> Order:
    """Return for each entry how many earlier entries are the same clip."""
    order = np.argsort(clips, kind="stable")
    first = np.searchsorted(clips[order], clips)
    place = np.empty(len(clips), dtype=np.int64)
    place[order] = np.arange(len(clips))
    earlier: Order = place - first
    return earlier


def batch_size(num_clips: int, batch_clips: int, divisor: int) -> int:
    """Return `batch_clips`, or for a smaller data set the largest multiple of `divisor` that it holds (perhaps 0)."""
    return min(batch_clips, num_clips - num_clips % divisor)
