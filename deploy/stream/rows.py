"""The whole picture and the audio of a stream joined into one row of similarities per frame, in order of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.stream.clock import EpochPairing
from cavsync.deploy.stream.grid import Grid
from cavsync.deploy.stream.lag_rows import LagRows
from cavsync.deploy.stream.search import Search, SearchStep
from cavsync.deploy.stream.video_track import VideoTrack, VisualInstant


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
    """Instants embedded together, the embeddings (n, D) of their frames, and the plan of the search for them.

    Without embeddings, their rows are NaN."""

    instants: list[VisualInstant]
    embeddings: NDArray[np.float32] | None
    plan: SearchStep


class RowStream:
    """Push frames into `video` and audio into `audio`, take rows from `complete_rows`.

    A row waits for its audio until the frames are `max_lead_seconds` ahead. Memory: what both tracks keep, plus one
    embedding (4 D bytes) per waiting frame; an adaptive search embeds no frame before its turn and keeps the small
    frame itself.

    Without `is_embedded` neither frames nor audio are embedded: rows hold motion, level and period only.
    """

    def __init__(
        self,
        bundle: Bundle,
        grid: Grid,
        search: Search,
        *,
        max_lead_seconds: float,
        group_instants: int,
        is_embedded: bool = True,
    ) -> None:
        self._bundle = bundle
        self._grid = grid
        self._search = search
        self._max_lead_seconds = max_lead_seconds
        self._is_embedded = is_embedded
        self.video = VideoTrack(bundle, grid.frame_rate_hz, group_instants)
        group_seconds = group_instants / grid.frame_rate_hz
        self._lags = LagRows(bundle.audio_encoder, grid, 2 * group_seconds + max_lead_seconds)
        self.audio = self._lags.audio
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
            self._groups.popleft()
            if group.embeddings is not None:
                self._lags.embed(epoch, [instant.time_seconds for instant in group.instants], group.plan.lags)
            for index in range(len(group.instants)):
                yield self._row(group, index, epoch)
            self._lags.drop_before(epoch, group.instants[-1].time_seconds)

    def _embed_frames(self) -> None:
        # An adaptive search plans a group from the decisions about the rows before it.
        while not (self._search.is_adaptive and self._groups):
            taken = self.video.take_group()
            if not taken:
                return
            plan = self._search.next_group()
            kept = [instant for index, instant in enumerate(taken) if plan.takes(index)]
            if kept:
                embeddings = self._bundle.embed_frames(self.video.tubelets(kept)) if self._is_embedded else None
                self._groups.append(_Group(kept, embeddings, plan))

    def _audio_epoch(self, group: _Group) -> int | None:
        """Epoch of the group's audio once it has arrived or is too late; None while it is waited for."""
        last = group.instants[-1]
        is_late = self.video.elapsed_seconds - last.elapsed_seconds > self._max_lead_seconds
        return self._lags.epoch_for(self._pairing, last.epoch, last.time_seconds, is_late=is_late)

    def _row(self, group: _Group, index: int, epoch: int) -> Row:
        instant, similarity = group.instants[index], np.full(len(self._grid.lags_ms), np.nan)
        if group.embeddings is not None:
            found = self._lags.similarity(epoch, instant.time_seconds, group.embeddings[index])
            similarity = np.where(group.plan.lags, found, np.nan)
        return Row(
            time_seconds=instant.time_seconds,
            similarity=similarity,
            motion=instant.motion,
            level_dbfs=self._lags.level_dbfs(epoch, instant.time_seconds),
            period_seconds=instant.period_seconds,
            epoch=instant.epoch,
            stride=group.plan.stride,
        )
