"""The faces of a stream and its audio joined into rows of similarities, in order of time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.faces.graphs import bundle_face_finder
from cavsync.deploy.faces.tracks import Face
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.face_engines import FaceEngines
from cavsync.deploy.stream.clock import EpochClock, EpochPairing
from cavsync.deploy.stream.face_grid import FaceGrid, FaceInstant, FaceLook
from cavsync.deploy.stream.far_look import FarLook
from cavsync.deploy.stream.grid import Grid
from cavsync.deploy.stream.lag_rows import LagRows
from cavsync.deploy.stream.span import TIME_TOLERANCE_SECONDS
from cavsync.deploy.stream.video_track import VideoTrack

MIN_STEP_SHARE = 0.75
"""Frames closer than this share of the model's frame period are left out: at 50 frames/s every second one is enough."""

OnFaces = Callable[[NDArray[np.uint8], float, list[Face]], None]
"""(frame, its time in seconds, the faces in it)."""


@dataclass(frozen=True)
class FaceRow:
    """Similarities (lags,) of one face at a moment, NaN without audio.

    `level_dbfs` is the level of the audio segment there, `sound_dbfs` that of one frame period around it.
    """

    track: int
    time_seconds: float
    epoch: int
    similarity: NDArray[np.float64]
    level_dbfs: float
    sound_dbfs: float
    look: FaceLook


@dataclass(frozen=True)
class _Group:
    """Moments embedded together, and the stream's clocks there."""

    instants: list[FaceInstant]
    epoch: int
    elapsed_seconds: float


class FacePath:
    """Push the frames that a `VideoTrack` accepted and audio; take rows by window.

    Rows wait for their audio as those of the whole picture do (see `RowStream`), and are kept until `drop_before`.
    Memory: the audio, and one embedding per face and grid frame that waits for it.

    Args:
        bundle: an opened bundle with a face path, whose engines are `engines`.
        video: where the frames come from.
        on_faces: called with each frame in which faces were looked for and found.
        on_row: called with each row, in order.
        looks_far: whether `far_look` sees all rows.
    """

    def __init__(
        self,
        bundle: Bundle,
        engines: FaceEngines,
        grid: Grid,
        video: VideoTrack,
        *,
        max_lead_seconds: float,
        group_seconds: float,
        on_faces: OnFaces | None = None,
        on_row: Callable[[FaceRow], None] | None = None,
        looks_far: bool = False,
    ) -> None:
        self._engines = engines
        self._video = video
        self._max_lead_seconds = max_lead_seconds
        self._period_seconds = 1 / engines.spec.frame_rate_hz
        self._group_frames = max(1, round(group_seconds * engines.spec.frame_rate_hz))
        self._on_faces, self._on_row = on_faces, on_row
        waiting_frames = 2 * self._group_frames + engines.spec.num_frames
        wait_seconds = waiting_frames * self._period_seconds + max_lead_seconds
        encoder = bundle.face_audio_encoder(engines)
        self.far_look = FarLook(grid, encoder.embedding_dim, 0.0) if looks_far else None
        self._lags = LagRows(encoder, grid, wait_seconds, self.far_look)
        self.audio = self._lags.audio
        self._finder = bundle_face_finder(engines)
        self._clock = EpochClock()
        self._pairing = EpochPairing(self._clock, self.audio.clock)
        self._grid = FaceGrid(engines, self._group_frames)
        self._last_seconds = self._used_seconds = -math.inf
        self._elapsed_seconds = 0.0
        self._groups: deque[_Group] = deque()
        self._rows: deque[FaceRow] = deque()

    def push(self, frame: NDArray[np.uint8], pts_seconds: float) -> None:
        """Add the frame (H, W, 3) uint8 that `video` accepted last."""
        is_set_back = self._video.clock.epoch != self._clock.epoch
        if is_set_back or self._grid.is_due(pts_seconds):
            self._encode()
        if is_set_back:
            self._clock.set_back(self._last_seconds, pts_seconds)
            self._grid = FaceGrid(self._engines, self._group_frames)
            self._used_seconds = -math.inf
        self._last_seconds, self._elapsed_seconds = pts_seconds, self._video.elapsed_seconds
        if pts_seconds - self._used_seconds < MIN_STEP_SHARE * self._period_seconds:
            return
        self._used_seconds = pts_seconds
        faces = self._finder.push(frame, pts_seconds)
        self._grid.push(faces, frame, pts_seconds)
        if self._on_faces is not None and faces:
            self._on_faces(frame, pts_seconds, faces)

    def finish(self) -> None:
        """End both tracks."""
        self._encode()
        self.audio.finish()

    def advance(self) -> None:
        """Complete the rows whose audio has arrived or is no longer waited for."""
        for row in self._complete_rows():
            self._rows.append(row)
            if self._on_row is not None:
                self._on_row(row)

    def is_complete(self, epoch: int, end_seconds: float) -> bool:
        """Whether every row of this epoch before `end_seconds` that will ever exist is there."""
        if self._groups:
            first = self._groups[0]
            if (first.epoch, first.instants[0].time_seconds) < (epoch, end_seconds):
                return False
        is_past = self._clock.epoch > epoch or self.audio.finished
        return is_past or self._grid.horizon_seconds >= end_seconds - TIME_TOLERANCE_SECONDS

    def rows(self, epoch: int, start_seconds: float, end_seconds: float) -> list[FaceRow]:
        """Return the rows of a window, in order of time."""
        start, end = start_seconds - TIME_TOLERANCE_SECONDS, end_seconds - TIME_TOLERANCE_SECONDS
        return [row for row in self._rows if row.epoch == epoch and start <= row.time_seconds < end]

    def drop_before(self, epoch: int, time_seconds: float) -> None:
        """Release the rows of earlier epochs and those before this time."""
        while self._rows and (self._rows[0].epoch, self._rows[0].time_seconds) < (epoch, time_seconds):
            self._rows.popleft()

    def _encode(self) -> None:
        instants = self._grid.encode()
        if instants:
            behind_seconds = self._last_seconds - instants[-1].time_seconds
            elapsed_seconds = self._elapsed_seconds - behind_seconds
            self._groups.append(_Group(instants, self._clock.epoch, elapsed_seconds))

    def _complete_rows(self) -> Iterator[FaceRow]:
        while self._groups:
            group = self._groups[0]
            epoch = self._audio_epoch(group)
            if epoch is None:
                return
            self._groups.popleft()
            self._lags.embed(epoch, sorted({instant.time_seconds for instant in group.instants}))
            for instant in group.instants:
                yield self._row(instant, group.epoch, epoch)
            self._lags.drop_before(epoch, group.instants[-1].time_seconds)

    def _audio_epoch(self, group: _Group) -> int | None:
        """Epoch of the group's audio once it has arrived or is too late; None while it is waited for."""
        is_late = self._elapsed_seconds - group.elapsed_seconds > self._max_lead_seconds
        last_seconds = group.instants[-1].time_seconds
        return self._lags.epoch_for(self._pairing, group.epoch, last_seconds, is_late=is_late)

    def _row(self, instant: FaceInstant, epoch: int, audio_epoch: int) -> FaceRow:
        time_seconds, half = instant.time_seconds, self._period_seconds / 2
        return FaceRow(
            track=instant.track,
            time_seconds=time_seconds,
            epoch=epoch,
            similarity=self._lags.similarity(audio_epoch, time_seconds, instant.embedding, track=instant.track),
            level_dbfs=self._lags.level_dbfs(audio_epoch, time_seconds),
            sound_dbfs=self.audio.sound_dbfs(audio_epoch, time_seconds - half, time_seconds + half),
            look=instant.look,
        )
