"""Lengths of the sequences that one packed tensor holds one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, groupby

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """Sequences packed along the token dimension, without padding, as runs of (count, length).

    `Segments(((8, 53), (8, 101)))` is eight sequences of 53 tokens, then eight of 101. Lengths are known on the host,
    so kernels are launched without waiting for the device. Counts and lengths may be 0.
    """

    runs: tuple[tuple[int, int], ...]

    @classmethod
    def uniform(cls, count: int, length: int) -> Segments:
        """`count` sequences of one length."""
        return cls(((count, length),))

    @classmethod
    def from_lengths(cls, lengths: Iterable[int]) -> Segments:
        """One sequence per length; neighbours of equal length become one run. Raises ValueError for a negative one."""
        runs = tuple((len(list(group)), length) for length, group in groupby(lengths))
        if any(length < 0 for _, length in runs):
            raise ValueError(f"A segment has a negative length in {runs}: lengths are token counts, 0 or more.")
        return cls(runs)

    @property
    def num_tokens(self) -> int:
        """Tokens of all sequences together."""
        return sum(self.tokens_per_run)

    @property
    def tokens_per_run(self) -> tuple[int, ...]:
        """Tokens of each run."""
        return tuple(count * length for count, length in self.runs)

    @property
    def lengths(self) -> list[int]:
        """Length of each sequence."""
        return [length for count, length in self.runs for _ in range(count)]

    @property
    def max_length(self) -> int:
        """Length of the longest sequence; 0 without any."""
        return max((length for count, length in self.runs if count), default=0)

    def cu_seqlens(self, device: torch.device | None = None) -> Tensor:
        """Cumulative lengths, int32 (number of sequences + 1,)."""
        return torch.tensor([0, *accumulate(self.lengths)], dtype=torch.int32, device=device)
