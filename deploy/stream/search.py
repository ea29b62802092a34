"""The choice of frames and lags to compare: all of them, or, to save work, those that recent decisions suggest.

An adaptive search begins coarse: some of the frames, lags `COARSE_MS` apart. Once a peak appears it tracks: the same
frames and lags, plus every lag around the peak. If tracking loses confidence it widens to all frames and lags, and if
that finds nothing either (silence, a static frame) it returns to the coarse search. It depends on decisions alone, so
results do not depend on how a stream was cut into pieces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.stream.grid import Grid
from cavsync.deploy.verdict.records import SyncScore

COARSE_MS = 80.0
# Largest expected change of the offset between decisions; the coarse lags detect larger ones.
TRACK_MS = 30.0
# Frames this far apart are enough samples of every lag in a window of two seconds.
SPARSE_SECONDS = 0.16
MIN_WINDOW_ROWS = 12

COARSE = "coarse"
TRACK = "track"
WIDE = "wide"
AFTER_FAILURE = {COARSE: COARSE, TRACK: WIDE, WIDE: COARSE}


def sparse_stride(grid: Grid) -> int:
    """Return which share of the frames, one in as many, is enough for a window."""
    most = grid.frame_rate_hz * grid.window_seconds / MIN_WINDOW_ROWS
    return max(1, math.floor(min(SPARSE_SECONDS * grid.frame_rate_hz + 1e-6, most)))


def coarse_step(grid: Grid) -> int:
    """Return the distance of coarse lags in hops."""
    return max(1, round(COARSE_MS / grid.hop_ms))


@dataclass(frozen=True)
class SearchStep:
    """The plan of one group: every `stride`-th frame, offset by `phase`, at the lags (lags,) that are True."""

    stride: int
    phase: int
    lags: NDArray[np.bool_]

    def takes(self, index: int) -> bool:
        """Whether the frame at `index` of the group is used."""
        return (index + self.phase) % self.stride == 0


class Search:
    """Request the plan of each group in order with `next_group`, and report every decision with `note`.

    `mode` is COARSE, TRACK or WIDE; a search that is not adaptive stays WIDE.
    """

    def __init__(self, grid: Grid, *, is_adaptive: bool, group_instants: int) -> None:
        self.is_adaptive = is_adaptive
        self._grid = grid
        self._group_instants = group_instants
        self._sparse = sparse_stride(grid)
        self._step = coarse_step(grid)
        self._num_taken = 0
        self._centre_ms = 0.0
        self._mode_since_seconds = -math.inf
        self.mode = COARSE if is_adaptive else WIDE

    def next_group(self) -> SearchStep:
        """Return the plan of the next group of frames."""
        stride = 1 if self.mode == WIDE else self._sparse
        plan = SearchStep(stride, self._num_taken % stride, self._lags())
        self._num_taken += self._group_instants
        return plan

    def note(self, score: SyncScore) -> None:
        """Take a decision into account for the groups to come."""
        if not self.is_adaptive:
            return
        if math.isinf(self._mode_since_seconds) or score.time_seconds < self._mode_since_seconds:
            self._mode_since_seconds = score.time_seconds
        mode = self.mode
        if score.audio_offset_ms is not None and score.curve is not None and (mode == COARSE or score.is_measured):
            self._centre_ms = score.curve.peak_lag_ms
            mode = TRACK
        # A window that still holds rows of the previous mode says nothing about the current one.
        elif score.time_seconds - self._mode_since_seconds >= self._grid.window_seconds:
            mode = AFTER_FAILURE[mode]
        if mode != self.mode:
            self.mode, self._mode_since_seconds = mode, score.time_seconds

    def _lags(self) -> NDArray[np.bool_]:
        lags_ms = self._grid.lags_ms
        if self.mode == WIDE:
            return np.ones(len(lags_ms), dtype=np.bool_)
        lags = np.zeros(len(lags_ms), dtype=np.bool_)
        lags[self._grid.reach % self._step :: self._step] = True
        # Always include the ends: a peak there may lie beyond the search range.
        lags[[0, 1, -2, -1]] = True
        if self.mode == TRACK:
            lags |= np.abs(lags_ms - self._centre_ms) <= max(TRACK_MS, 2 * self._grid.hop_ms)
        return lags
