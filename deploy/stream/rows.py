"""The whole picture and the audio of a stream joined into one row of similarities per frame, in order of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.tubelets import Tubelet
from cavsync.deploy.stream.clock import EpochPairing
from cavsync.deploy.stream.far_look import FarLook
from cavsync.deploy.stream.grid import Grid
from cavsync.deploy.stream.lag_rows import LagRows
from cavsync.deploy.stream.limits import GROUP_INSTANTS
from cavsync.deploy.stream.search import Search, SearchStep
from cavsync.deploy.stream.video_track import VideoTrack, VisualInstant
from cavsync.deploy.verdict.confidence import Evidence

AT_ONCE, ON_DEMAND, NEVER = "at once", "on demand", "never"
"""When frames are compared with the audio."""


@dataclass(frozen=True)
class Density:
    """How much of a stream is compared: every `stride`-th frame, with every `step`-th instant of the audio."""

    stride: int
    step: int


FULL = Density(1, 1)


@dataclass
class RowSource:
    """The inputs of a row of similarities that is computed on demand.

    `index` counts the frames of the stream; `tubelet` is there until it is embedded, then `embedding` (D,) is;
    `density` is that at which the row was compared, None before.
    """

    index: int
    audio_epoch: int
    tubelet: Tubelet
    embedding: NDArray[np.float32] | None = None
    density: Density | None = None

    def lacks(self, density: Density) -> bool:
        """Whether this frame belongs to a density, and was not compared at it or a higher one."""
        is_done = self.density is not None and self.density.step <= density.step
        return self.index % density.stride == 0 and not is_done


@dataclass
class Row:
    """Similarities (lags,) of the frame at `time_seconds`, NaN without audio; its motion, level and frame period.

    `epoch` counts how often the frames' clock was set back; one of `stride` frames was compared.
    """

    time_seconds: float
    similarity: NDArray[np.float64]
    motion: float
    level_dbfs: float
    period_seconds: float
    epoch: int = 0
    stride: int = 1
    source: RowSource | None = field(default=None, repr=False)

    @property
    def is_compared(self) -> bool:
        """Whether the similarities are final, or those of a lower density."""
        return self.source is None or self.source.density is not None


def evidence_of(rows: Sequence[Row]) -> Evidence:
    """Collect motion, level and frame period of the rows as arrays (rows,)."""
    facts = np.array([(row.motion, row.level_dbfs, row.period_seconds) for row in rows], dtype=np.float64)
    return Evidence(*facts.reshape(-1, 3).T)


@dataclass
class _Group:
    """Instants that wait for their audio, the plan of the search for them, and the embeddings (n, D) of their frames,
    or the frames themselves where they are compared on demand; without either, their rows are NaN."""

    instants: list[VisualInstant]
    plan: SearchStep
    first_index: int
    embeddings: NDArray[np.float32] | None = None
    tubelets: list[Tubelet] | None = None


class RowStream:
    """Push frames into `video` and audio into `audio`, take rows from `complete_rows`.

    A row waits for its audio until the frames are `max_lead_seconds` ahead. Memory: what both tracks keep, plus one
    embedding (4 D bytes) per waiting frame; an adaptive search embeds no frame before its turn and keeps the small
    frame itself.

    Frames are compared with the audio AT_ONCE; or ON_DEMAND, by `compare`, at most `demand_seconds` after their audio
    arrived: rows keep their small frames, and the audio is kept from the row given to `release` on. NEVER embeds
    neither frames nor audio: rows hold motion, level and period only. With `looks_far`, `far_look` sees all rows.
    """

    def __init__(
        self,
        bundle: Bundle,
        grid: Grid,
        search: Search,
        *,
        max_lead_seconds: float,
        group_instants: int,
        compared: str = AT_ONCE,
        demand_seconds: float = 0.0,
        looks_far: bool = False,
    ) -> None:
        self._bundle = bundle
        self._grid = grid
        self._search = search
        self._max_lead_seconds = max_lead_seconds
        self._compared = compared
        self.video = VideoTrack(bundle, grid.frame_rate_hz, group_instants, has_tubelets=compared != NEVER)
        group_seconds = group_instants / grid.frame_rate_hz
        encoder = bundle.audio_encoder
        self.far_look = FarLook(grid, encoder.embedding_dim, demand_seconds) if looks_far else None
        self._lags = LagRows(encoder, grid, 2 * group_seconds + max_lead_seconds + demand_seconds, self.far_look)
        self.audio = self._lags.audio
        self._pairing = EpochPairing(self.video.clock, self.audio.clock)
        self._groups: deque[_Group] = deque()
        self._num_taken = 0

    def finish(self) -> None:
        """End both tracks."""
        self.video.finish()
        self.audio.finish()

    def complete_rows(self) -> Iterator[Row]:
        """Yield the rows whose audio has arrived or is no longer waited for.

        Exhaust the iterator before pushing anything else.
        """
        while True:
            self._take_groups()
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
            if self._compared != ON_DEMAND:
                self._lags.drop_before(epoch, group.instants[-1].time_seconds)

    def compare(self, rows: Sequence[Row], density: Density = FULL) -> None:
        """Compute the similarities of those of the rows (in order, of a stream ON_DEMAND) that belong to a density."""
        wanted = [(row, row.source) for row in rows if row.source is not None and row.source.lacks(density)]
        fresh = [source for _, source in wanted if source.embedding is None]
        for start in range(0, len(fresh), GROUP_INSTANTS):
            group = fresh[start : start + GROUP_INSTANTS]
            embeddings = self._bundle.embed_frames([source.tubelet for source in group])
            for source, embedding in zip(group, embeddings, strict=True):
                source.embedding, source.tubelet = embedding.copy(), []
        for epoch, part in groupby(wanted, key=lambda pair: pair[1].audio_epoch):
            pairs = list(part)
            self._lags.embed(epoch, [row.time_seconds for row, _ in pairs], step=density.step)
            for row, source in pairs:
                assert source.embedding is not None
                row.similarity = self._lags.similarity(epoch, row.time_seconds, source.embedding, step=density.step)
                row.stride, source.density = density.stride, density

    def release(self, row: Row) -> None:
        """Drop the audio of earlier rows, which will not be compared any more."""
        if row.source is not None:
            self._lags.drop_before(row.source.audio_epoch, row.time_seconds)

    def _take_groups(self) -> None:
        # An adaptive search plans a group from the decisions about the rows before it.
        while not (self._search.is_adaptive and self._groups):
            taken = self.video.take_group()
            if not taken:
                return
            plan = self._search.next_group()
            kept = [instant for index, instant in enumerate(taken) if plan.takes(index)]
            if kept:
                group = _Group(kept, plan, self._num_taken)
                if self._compared == AT_ONCE:
                    group.embeddings = self._bundle.embed_frames(self.video.tubelets(kept))
                elif self._compared == ON_DEMAND:
                    group.tubelets = self.video.tubelets(kept)
                self._groups.append(group)
            self._num_taken += len(taken)

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
        source = None
        if group.tubelets is not None:
            source = RowSource(group.first_index + index, epoch, group.tubelets[index])
        return Row(
            time_seconds=instant.time_seconds,
            similarity=similarity,
            motion=instant.motion,
            level_dbfs=self._lags.level_dbfs(epoch, instant.time_seconds),
            period_seconds=instant.period_seconds,
            epoch=instant.epoch,
            stride=group.plan.stride,
            source=source,
        )
