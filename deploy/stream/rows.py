"""Video and audio of a stream joined into one row of similarities per frame, in order of time.

A row holds cos(v_k, a(t_k + lag)) over the grid of lags. Grid instants do not fall exactly on t_k + lag, so the
similarities of the two neighbours are interpolated: rounding to the nearer one would bias the offset.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.stream.audio_track import AudioTrack
from cavsync.deploy.stream.clock import EpochPairing
from cavsync.deploy.stream.grid import Grid
from cavsync.deploy.stream.search import Search, SearchStep
from cavsync.deploy.stream.video_track import VideoTrack, VisualInstant
from cavsync.media.align import segment_center_seconds

ON_GRID = 1e-6


@dataclass(frozen=True)
class Row:
    """Similarities (lags,) of the frame at `time_seconds`, NaN without audio; its motion, level and frame period.

    `epoch` counts how often the frames' clock was set back; the search used every `stride`-th frame.
    """

    time_seconds: float
    similarity: NDArray[np.float64]
    motion: float
    level_dbfs: float
    period_seconds: float
    epoch: int = 0
    stride: int = 1


@dataclass
class _Group:
    """Instants embedded together, the embeddings (n, D) of their frames, and the plan of the search for them."""

    instants: list[VisualInstant]
    embeddings: NDArray[np.float32]
    plan: SearchStep


class RowStream:
    """Push frames into `video` and audio into `audio`, take rows from `complete_rows`.

    A row waits for its audio until the frames are `max_lead_seconds` ahead. Memory: what both tracks keep, plus one
    embedding (4 D bytes) per waiting frame; an adaptive search embeds no frame before its turn and keeps the small
    frame itself.
    """

    def __init__(
        self, bundle: Bundle, grid: Grid, search: Search, *, max_lead_seconds: float, group_instants: int
    ) -> None:
        self._bundle = bundle
        self._grid = grid
        self._search = search
        self._max_lead_seconds = max_lead_seconds
        self._first_center_seconds = float(segment_center_seconds(0, bundle.manifest.audio.segment_frames))
        self.video = VideoTrack(bundle, grid.frame_rate_hz, group_instants)
        segment_seconds = 2 * self._first_center_seconds
        group_seconds = group_instants / grid.frame_rate_hz
        keep_seconds = 2 * grid.max_offset_ms / 1000 + segment_seconds + 2 * group_seconds + max_lead_seconds
        self.audio = AudioTrack(bundle, grid.hop_frames, keep_seconds)
        self._pairing = EpochPairing(self.video.clock, self.audio.clock)
        self._groups: deque[_Group] = deque()

    def finish(self) -> None:
        """End both tracks."""
        self.video.finish()
        self.audio.finish()

    def complete_rows(self) -> Iterator[Row]:
        """Yield the rows whose audio has arrived or is no longer waited for.

        Exhaust the iterator before pushing anything else.
        """
        while True:
            self._embed_frames()
            if not self._groups:
                return
            group = self._groups[0]
            epoch = self._audio_epoch(group)
            if epoch is None:
                return
            self._embed_audio(group, epoch)
            self._groups.popleft()
            for instant, embedding in zip(group.instants, group.embeddings, strict=True):
                yield self._row(instant, embedding, group.plan, epoch)
            self.audio.drop_before(epoch, self._place(group.instants[-1])[0] - self._grid.reach)

    def _embed_frames(self) -> None:
        # An adaptive search plans a group from the decisions about the rows before it.
        while not (self._search.is_adaptive and self._groups):
            taken = self.video.take_group()
            if not taken:
                return
            plan = self._search.next_group()
            kept = [instant for index, instant in enumerate(taken) if plan.takes(index)]
            if kept:
                embeddings = self._bundle.embed_frames(self.video.tubelets(kept))
                self._groups.append(_Group(kept, embeddings, plan))

    def _audio_epoch(self, group: _Group) -> int | None:
        """Epoch of the group's audio once it has arrived or is too late; None while it is waited for."""
        last = group.instants[-1]
        is_late = self.video.elapsed_seconds - last.elapsed_seconds > self._max_lead_seconds
        progress_seconds = math.inf if is_late else self.audio.progress_seconds
        epoch = self._pairing.epoch_of(last.epoch, group.instants[0].progress_seconds, audio_progress=progress_seconds)
        if epoch is None or is_late:
            return epoch
        return epoch if self.audio.has(epoch, self._place(last)[0] + self._grid.reach + 2) else None

    def _embed_audio(self, group: _Group, epoch: int) -> None:
        reach = self._grid.reach
        offsets = np.flatnonzero(group.plan.lags) - reach
        below = np.array([self._place(instant)[0] for instant in group.instants], dtype=np.int64)
        lower = (below[:, None] + offsets).reshape(-1)
        self.audio.embed(epoch, np.unique(np.concatenate([lower, lower + 1])))

    def _place(self, instant: VisualInstant) -> tuple[int, float]:
        """The grid instant at or below the frame's time, and the distance from it to that time as a share of a hop."""
        position = (instant.time_seconds - self._first_center_seconds) / (self._grid.hop_ms / 1000)
        below = math.floor(position + ON_GRID)
        return below, max(0.0, position - below)

    def _row(self, instant: VisualInstant, embedding: NDArray[np.float32], plan: SearchStep, epoch: int) -> Row:
        below, share_above = self._place(instant)
        reach = self._grid.reach
        candidates = self.audio.embeddings(epoch, below - reach, below + reach + 2)
        similarity = (candidates @ embedding).astype(np.float64)
        lower, upper = similarity[:-1], similarity[1:]
        # Without interpolation, a missing upper neighbour does not make a row on the grid NaN.
        row = lower if share_above < ON_GRID else (1 - share_above) * lower + share_above * upper
        nearest = below if share_above <= 0.5 else below + 1
        return Row(
            time_seconds=instant.time_seconds,
            similarity=np.where(plan.lags, row, np.nan),
            motion=instant.motion,
            level_dbfs=self.audio.level_dbfs(epoch, nearest),
            period_seconds=instant.period_seconds,
            epoch=instant.epoch,
            stride=plan.stride,
        )
