"""Which frames and lags are looked at: all of them, or, to save work, those that the last decisions ask for.

An adaptive search begins coarse: some of the frames, lags `COARSE_MS` apart. Where a peak shows it tracks: the same,
and every lag around the peak. Where tracking loses confidence it widens to everything, and if that finds nothing either
(silence, a still frame) it goes back to the coarse look. It follows from decisions alone, so results do not depend
on how a stream was cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.stream.grid import Grid
from cavsync.deploy.verdict.records import SyncScore

COARSE_MS = 80.0
# As far as an offset may wander from one decision to the next; the coarse lags see what goes further.
TRACK_MS = 30.0
# Frames this far apart see every lag that matters often enough within a window of two seconds.
SPARSE_SECONDS = 0.16
MIN_WINDOW_ROWS = 12

COARSE = "coarse"
TRACK = "track"
WIDE = "wide"


@dataclass(frozen=True)
class SearchStep:
    """What of the next group is looked at: every `stride`-th frame from `phase` on, at the lags that are True."""

    stride: int
    phase: int
    lags: NDArray[np.bool_]

    def takes(self, index: int) -> bool:
        """Whether the frame at `index` of the group is looked at."""
        return (index + self.phase) % self.stride == 0


class Search:
    """Ask for the plan of each group in order, tell it every decision.

    `mode` is COARSE, TRACK or WIDE; a search that is not adaptive stays WIDE.
    """

    def __init__(self, grid: Grid, *, is_adaptive: bool, group_instants: int) -> None:
        self.is_adaptive = is_adaptive
        self._grid = grid
        self._group_instants = group_instants
        most = grid.frame_rate_hz * grid.window_seconds / MIN_WINDOW_ROWS
        self._sparse = max(1, math.floor(min(SPARSE_SECONDS * grid.frame_rate_hz + 1e-6, most)))
        self._step = max(1, round(COARSE_MS / grid.hop_ms))
        self._num_taken = 0
        self._centre_ms = 0.0
        self._mode_since_seconds = -math.inf
        self.mode = COARSE if is_adaptive else WIDE

    @property
    def stride(self) -> int:
        """Of so many frames one is looked at."""
        return 1 if self.mode == WIDE else self._sparse

    def next_group(self) -> SearchStep:
        """Plan of the next group of frames."""
        plan = SearchStep(self.stride, self._num_taken % self.stride, self._lags())
        self._num_taken += self._group_instants
        return plan

    def note(self, score: SyncScore) -> None:
        """A decision was made."""
        if not self.is_adaptive:
            return
        if math.isinf(self._mode_since_seconds) or score.time_seconds < self._mode_since_seconds:
            self._mode_since_seconds = score.time_seconds
        has_peak = score.audio_offset_ms is not None and score.curve is not None
        if has_peak and (self.mode == COARSE or score.is_measured):
            self._follow(score)
            return
        # A window that still holds what another mode saw says nothing about this one.
        if score.time_seconds - self._mode_since_seconds < self._grid.window_seconds:
            return
        if self.mode == TRACK:
            self._turn_to(WIDE, score.time_seconds)
        elif self.mode == WIDE:
            self._turn_to(COARSE, score.time_seconds)

    def _follow(self, score: SyncScore) -> None:
        assert score.curve is not None
        self._centre_ms = score.curve.peak_lag_ms
        if self.mode != TRACK:
            self._turn_to(TRACK, score.time_seconds)

    def _turn_to(self, mode: str, time_seconds: float) -> None:
        self.mode = mode
        self._mode_since_seconds = time_seconds

    def _lags(self) -> NDArray[np.bool_]:
        lags_ms = self._grid.lags_ms
        if self.mode == WIDE:
            return np.ones(len(lags_ms), dtype=np.bool_)
        lags = np.zeros(len(lags_ms), dtype=np.bool_)
        lags[self._grid.reach % self._step :: self._step] = True
        # The ends belong to every look: a peak there may be one that lies beyond.
        lags[[0, 1, -2, -1]] = True
        if self.mode == TRACK:
            lags |= np.abs(lags_ms - self._centre_ms) <= max(TRACK_MS, 2 * self._grid.hop_ms)
        return lags
