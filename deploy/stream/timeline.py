"""An array on an absolute integer clock: append at the end, read anywhere, release the front."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

INITIAL_ROWS = 1024


class Timeline:
    """Rows of shape `width` that keep their index while older rows are dropped; memory grows with the kept rows only.

    Args:
        width: shape of one row; () for scalars.
        dtype: type of the values.
        fill: value of rows that were never written.
        first: index of the first row that is appended.
    """

    def __init__(self, width: tuple[int, ...], dtype: Any, fill: float, first: int = 0) -> None:
        self._fill = fill
        self._rows: NDArray[Any] = np.empty((INITIAL_ROWS, *width), dtype=dtype)
        self._begin = 0
        self.first = self.end = first

    def start_at(self, index: int) -> None:
        """Drop all rows; the next appended row is row `index`."""
        self._begin = 0
        self.first = self.end = index

    def append(self, rows: NDArray[Any]) -> None:
        """Append rows (n, *width)."""
        begin = self._reserve(len(rows))
        self._rows[begin : begin + len(rows)] = rows

    def append_fill(self, count: int) -> None:
        """Append `count` rows of the fill value."""
        begin = self._reserve(count)
        self._rows[begin : begin + count] = self._fill

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Replace rows [start, start + n), all of which must be kept."""
        begin = self._begin + start - self.first
        self._rows[begin : begin + len(rows)] = rows

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Copy of rows [start, stop); rows that are not kept hold the fill value."""
        out: NDArray[Any] = np.full((max(0, stop - start), *self._rows.shape[1:]), self._fill, dtype=self._rows.dtype)
        low, high = max(start, self.first), min(stop, self.end)
        if high > low:
            begin = self._begin + low - self.first
            out[low - start : high - start] = self._rows[begin : begin + high - low]
        return out

    def drop_before(self, index: int) -> None:
        """Drop the rows before `index`."""
        dropped = min(max(0, index - self.first), self.end - self.first)
        self._begin += dropped
        self.first += dropped

    def _reserve(self, count: int) -> int:
        """Make room for `count` rows at the end and return the position of the first."""
        kept = self.end - self.first
        if self._begin + kept + count > len(self._rows):
            capacity = max(INITIAL_ROWS, 2 * (kept + count))
            moved = np.empty((capacity, *self._rows.shape[1:]), dtype=self._rows.dtype)
            moved[:kept] = self._rows[self._begin : self._begin + kept]
            self._rows, self._begin = moved, 0
        self.end += count
        return self._begin + kept
