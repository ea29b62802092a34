"""Sums of similarities over blocks of a file's rows, in flat arrays: 6 bytes per block and lag, and no objects."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.verdict.curve import FloatArray


class BlockSums:
    """Begin blocks, and add rows (lags,) to any of them, NaN counting as missing; blocks are numbered from 0 on."""

    def __init__(self, num_lags: int) -> None:
        self._num_lags = num_lags
        self._sums, self._counts = array("f"), array("H")

    def begin(self) -> int:
        """Begin a block; return its number."""
        self._sums.frombytes(bytes(4 * self._num_lags))
        self._counts.frombytes(bytes(2 * self._num_lags))
        return len(self._sums) // self._num_lags - 1

    def add(self, block: int, similarity: FloatArray) -> None:
        """Add a row to a block."""
        place = slice(block * self._num_lags, (block + 1) * self._num_lags)
        # The views last for a line: an array that is looked at cannot grow.
        np.frombuffer(self._sums, dtype=np.float32)[place] += np.nan_to_num(similarity, nan=0.0)
        np.frombuffer(self._counts, dtype=np.uint16)[place] += np.isfinite(similarity)

    def totals(self) -> tuple[FloatArray, NDArray[np.int64]]:
        """Return sums and counts (blocks, lags)."""
        shape = (-1, self._num_lags)
        sums, counts = np.array(self._sums, dtype=np.float64), np.array(self._counts, dtype=np.int64)
        return sums.reshape(shape), counts.reshape(shape)
