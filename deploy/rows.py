"""Both tracks of a stream joined: one row of similarities per picture, in the order of time.

A row holds cos(v_k, a(t_k + lag)) over the grid of lags. Grid instants do not fall on t_k + lag exactly, so the
similarities of the two neighbours are interpolated: rounding to the nearer one would bias the offset.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.audio_track import AudioTrack
from cavsync.deploy.bundle import Bundle
from cavsync.deploy.curve import lag_grid_ms
from cavsync.deploy.video_track import VideoTrack, VisualInstant
from cavsync.media.align import segment_center_seconds

ON_GRID = 1e-6


@dataclass(frozen=True)
class Row:
    """Similarities (lags,) of the picture at `time_seconds`, NaN without sound; its motion, level and frame period."""

    time_seconds: float
    similarity: NDArray[np.float64]
    motion: float
    level_dbfs: float
    period_seconds: float


class RowStream:
    """Push pictures into `video` and sound into `audio`, take rows from `complete_rows`.

    Memory: what both tracks keep, plus one embedding per instant of the stream that runs ahead of the other
    (4 D bytes, about 25 of them per second for each second of lead).
    """

    def __init__(self, bundle: Bundle, max_offset_ms: float) -> None:
        sync = bundle.manifest.sync
        self.video = VideoTrack(bundle)
        self.audio = AudioTrack(bundle)
        self.lags_ms = lag_grid_ms(max_offset_ms, sync.hop_ms)
        self._reach = len(self.lags_ms) // 2
        self._hop_seconds = sync.hop_ms / 1000
        self._first_center_seconds = float(segment_center_seconds(0, bundle.manifest.audio.segment_frames))

    def finish(self) -> None:
        """Both streams have ended."""
        self.video.finish()
        self.audio.finish()

    def complete_rows(self) -> Iterator[Row]:
        """Rows whose sound has arrived, or never will because the stream has ended."""
        while self.video.ready:
            instant = self.video.ready[0]
            position = (instant.time_seconds - self._first_center_seconds) / self._hop_seconds
            below = math.floor(position + ON_GRID)
            if not self.audio.finished and self.audio.end_instant < below + self._reach + 2:
                return
            self.video.ready.popleft()
            yield self._row(instant, below, max(0.0, position - below))
            self.audio.drop_before(below - self._reach)

    def _row(self, instant: VisualInstant, below: int, share_above: float) -> Row:
        candidates = self.audio.embeddings(below - self._reach, below + self._reach + 2)
        similarity = (candidates @ instant.embedding).astype(np.float64)
        lower, upper = similarity[:-1], similarity[1:]
        # A missing neighbour must not spoil a row that falls on the grid.
        row = lower if share_above < ON_GRID else (1 - share_above) * lower + share_above * upper
        nearest = below if share_above <= 0.5 else below + 1
        return Row(
            time_seconds=instant.time_seconds,
            similarity=row,
            motion=instant.motion,
            level_dbfs=self.audio.level_dbfs(nearest),
            period_seconds=instant.period_seconds,
        )
