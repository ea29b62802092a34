"""In which order an epoch visits the clips: a function of the seed and the epoch, nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

Draw = tuple[int, int]
Order = NDArray[np.int64]

# Shards that are read at the same time: enough to mix, few enough to be read front to back and kept in memory.
WINDOW_SHARDS = 16
# Sets the stream of weighted draws apart from that of the order.
WEIGHTED = 0xBA1


def epoch_order(num_clips: int, seed: int, epoch: int, shard_of: Order | None = None) -> Order:
    """A permutation of range(num_clips).

    With `shard_of` (num_clips,), the shard of each clip, shards are shuffled, taken sixteen at a time, and the clips of
    those sixteen shuffled: reads stay within a few files.
    """
    order: Order
    random = np.random.default_rng((seed, epoch))
    if shard_of is None:
        order = random.permutation(num_clips)
        return order
    shards = np.unique(shard_of)
    rank = np.empty(int(shards.max(initial=-1)) + 1, dtype=np.int64)
    rank[shards] = random.permutation(len(shards))
    window = rank[shard_of] // WINDOW_SHARDS
    order = np.lexsort((random.random(num_clips), window))
    return order


class PlannedBatches(Sampler[list[Draw]]):
    """Which of `clips` (indices) make up each part of a batch, from `first_step` on, for one of several processes.

    Epochs follow one another without a seam: a batch may hold the end of one and the start of the next, so each epoch
    visits every clip exactly once. The plan is a function of the seed alone: resuming is exact, and the batches are the
    same for any number of processes, for any data set of at least a batch (smaller ones make smaller batches). A step's
    batch of `batch_clips` is dealt out in `parts` (gradient accumulation), each of them to `num_ranks` processes. Clips
    that are named several times are visited as often; a draw is (clip, visit), another one at every visit.

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

    def __iter__(self) -> Iterator[list[Draw]]:
        share = self.batch_clips // (self.parts * self.num_ranks)
        orders: dict[int, Order] = {}
        for step in range(self.first_step, self.num_steps):
            for part in range(self.parts):
                first = step * self.batch_clips + (part * self.num_ranks + self.rank) * share
                yield [self._draw(place, orders) for place in range(first, first + share)]

    def _draw(self, place: int, orders: dict[int, Order]) -> Draw:
        epoch, within = divmod(place, len(self.clips))
        if epoch not in orders:
            orders.clear()
            orders[epoch] = self._epoch(epoch)
        entry = orders[epoch][within]
        if self.weights is not None:
            return int(self.clips[entry]), place
        return int(self.clips[entry]), epoch * self._visits_per_epoch + int(self._repetition[entry])

    def _epoch(self, epoch: int) -> Order:
        """Places in `clips` that the epoch visits, in order."""
        chosen = np.arange(len(self.clips))
        if self.weights is not None:
            random = np.random.default_rng((self.seed, epoch, WEIGHTED))
            chosen = random.choice(len(self.clips), size=len(self.clips), p=self.weights)
        shards = None if self.shard_of is None else self.shard_of[self.clips[chosen]]
        order: Order = chosen[epoch_order(len(chosen), self.seed, epoch, shards)]
        return order


def _repetition(clips: Order) -> Order:
    """How many earlier entries name the same clip, for each entry."""
    order = np.argsort(clips, kind="stable")
    first = np.searchsorted(clips[order], clips)
    place = np.empty(len(clips), dtype=np.int64)
    place[order] = np.arange(len(clips))
    earlier: Order = place - first
    return earlier


def batch_size(num_clips: int, batch_clips: int, divisor: int) -> int:
    """`batch_clips`, or as much of a smaller data set as can be dealt out evenly; 0 where that is nothing."""
    return min(batch_clips, num_clips - num_clips % divisor)
