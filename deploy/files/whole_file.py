"""The whole picture of a file, summed over all its rows."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

import numpy as np

from cavsync.deploy.files.block_sums import BlockSums
from cavsync.deploy.stream.rows import Row
from cavsync.deploy.verdict.confidence import Evidence
from cavsync.deploy.verdict.curve import Curve, FloatArray, curve_of_sums, mean_of


@dataclass(frozen=True)
class HeatMap:
    """Mean similarity by time and lag: `similarity` (columns, lags), one column per time, NaN without audio."""

    times_seconds: FloatArray
    lags_ms: FloatArray
    similarity: FloatArray


class WholeFile:
    """Sums of a file's rows in blocks of `block_seconds`: 6 bytes per block and lag, 24 per row."""

    def __init__(self, lags_ms: FloatArray, block_seconds: float) -> None:
        self._lags_ms = lags_ms
        self._block_seconds = block_seconds
        self._starts, self._blocks = array("d"), BlockSums(len(lags_ms))
        self._facts = tuple(array("d") for _ in range(3))
        self._strides = 0

    def add(self, row: Row) -> None:
        """Add the next row."""
        begun = self._starts[-1] if self._starts else math.inf
        if not begun <= row.time_seconds < begun + self._block_seconds:
            self._starts.append(row.time_seconds)
            self._blocks.begin()
        self._blocks.add(len(self._starts) - 1, row.similarity)
        self._strides += row.stride
        for facts, value in zip(self._facts, (row.motion, row.level_dbfs, row.period_seconds), strict=True):
            facts.append(value)

    @property
    def mean_stride(self) -> float:
        """Mean stride of the search: one of this many due frames was scored."""
        return self._strides / max(1, len(self._facts[0]))

    def curve(self) -> Curve:
        """Return the curve of all rows."""
        return curve_of_sums(self._lags_ms, *self._blocks.totals(), len(self._facts[0]))

    def evidence(self) -> Evidence:
        """Return motion, level and frame period of all rows."""
        return Evidence(*(np.array(facts, dtype=np.float64) for facts in self._facts))

    def heat_map(self) -> HeatMap:
        """Return the heat map, with one column per block."""
        return HeatMap(np.array(self._starts), self._lags_ms, mean_of(*self._blocks.totals()))
