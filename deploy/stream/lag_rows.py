"""The audio of one path, and the similarities of a moment of the video with the audio around it.

A row holds cos(v, a(t + lag)) over the grid of lags. Grid instants do not fall exactly on t + lag, so the similarities
of the two neighbours are interpolated: rounding to the nearer one would bias the offset.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.audio_encoder import AudioEncoder
from cavsync.deploy.stream.audio_track import AudioTrack
from cavsync.deploy.stream.clock import EpochPairing
from cavsync.deploy.stream.far_look import FarLook
from cavsync.deploy.stream.grid import Grid
from cavsync.media.align import segment_center_seconds

ON_GRID = 1e-6


class LagRows:
    """Push 16 kHz audio into `audio`; for moments of the video in an epoch of the audio: wait, embed, read rows.

    Args:
        encoder: embeds the audio.
        grid: the lags.
        wait_seconds: how long audio must be kept besides the search range and a segment.
        far_look: gets all rows that are read.
    """

    def __init__(self, encoder: AudioEncoder, grid: Grid, wait_seconds: float, far_look: FarLook | None = None) -> None:
        self._grid = grid
        self._far_look = far_look
        self._first_center_seconds = float(segment_center_seconds(0, encoder.segment_frames))
        keep_seconds = 2 * grid.max_offset_ms / 1000 + 2 * self._first_center_seconds + wait_seconds
        self.audio = AudioTrack(encoder, grid.hop_frames, keep_seconds)

    def epoch_for(self, pairing: EpochPairing, epoch: int, last_seconds: float, *, is_late: bool) -> int | None:
        """Epoch of the audio for moments of an epoch of the video, the last of them at `last_seconds`, once the audio
        has arrived or can no longer arrive or is too late; None while it is waited for."""
        is_awaited = not (is_late or self.audio.finished)
        found = pairing.epoch_of(
            epoch,
            last_seconds,
            audio_seconds=self.audio.end_seconds if is_awaited else math.inf,
            covers=lambda number: self._covers(number, last_seconds),
        )
        if found is None or is_late:
            return found
        return found if self.audio.has(found, self._stop(last_seconds)) else None

    def embed(
        self, epoch: int, times_seconds: Sequence[float], lags: NDArray[np.bool_] | None = None, *, step: int = 1
    ) -> None:
        """Embed the audio that the rows of these moments need: at the lags that are True, by default at all; of the
        grid, every `step`-th instant."""
        reach = self._grid.reach
        offsets = np.arange(-reach, reach + 1) if lags is None else np.flatnonzero(lags) - reach
        below = np.array([self._place(seconds)[0] for seconds in times_seconds], dtype=np.int64)
        lower = (below[:, None] + offsets).reshape(-1)
        wanted = np.unique(np.concatenate([lower, lower + 1]))
        self.audio.embed(epoch, wanted[wanted % step == 0])

    def similarity(
        self, epoch: int, time_seconds: float, embedding: NDArray[np.float32], *, step: int = 1, track: int = 0
    ) -> NDArray[np.float64]:
        """Return the row (lags,) of a moment with the embedding (D,); NaN where audio is missing or not embedded.

        Args:
            epoch: that of the audio.
            time_seconds: the moment.
            embedding: of the moment.
            step: use every `step`-th instant of the grid only, with straight lines between them.
            track: number of the face.
        """
        below, share_above = self._place(time_seconds)
        reach = self._grid.reach
        candidates = self.audio.embeddings(epoch, below - reach, below + reach + 2)
        if self._far_look is not None:
            place = below, 0.0 if share_above < ON_GRID else share_above
            self._far_look.note(epoch, track, time_seconds, place, embedding, candidates, step=step)
        similarity = (candidates @ embedding).astype(np.float64)
        if step > 1:
            places = np.arange(below - reach, below + reach + 2)
            known = places % step == 0
            similarity = np.interp(places, places[known], similarity[known], left=np.nan, right=np.nan)
        lower, upper = similarity[:-1], similarity[1:]
        # Without interpolation, a missing upper neighbour does not make a row on the grid NaN.
        return lower if share_above < ON_GRID else (1 - share_above) * lower + share_above * upper

    def level_dbfs(self, epoch: int, time_seconds: float) -> float:
        """Level of the segment nearest to the moment (see `AudioTrack.level_dbfs`)."""
        return self.audio.level_dbfs(epoch, self._nearest(time_seconds))

    def log_mel(self, epoch: int, time_seconds: float, *, pad: bool = False) -> NDArray[np.float32] | None:
        """Raw log-mel (segment_frames, bins) of the segment nearest to the moment; None where audio is missing.

        pad: a segment that reaches beyond the audio is moved inside it, and padded with zeros if the audio is shorter.
        """
        instant = self._nearest(time_seconds)
        return self.audio.log_mel_inside(epoch, instant) if pad else self.audio.log_mel(epoch, instant)

    def drop_before(self, epoch: int, time_seconds: float) -> None:
        """Release the audio that no moment from `time_seconds` on needs, once the audio has come as far.

        A moment that the audio did not reach may be that of a clock that jumped ahead and is about to return.
        """
        if self._covers(epoch, time_seconds):
            self.audio.drop_before(epoch, self._place(time_seconds)[0] - self._grid.reach)

    def _covers(self, epoch: int, time_seconds: float) -> bool:
        return self.audio.covers(epoch, time_seconds, self._stop(time_seconds))

    def _stop(self, time_seconds: float) -> int:
        """The instant after those that a moment needs."""
        return self._place(time_seconds)[0] + self._grid.reach + 2

    def _nearest(self, time_seconds: float) -> int:
        """The grid instant nearest to a moment."""
        below, share_above = self._place(time_seconds)
        return below if share_above <= 0.5 else below + 1

    def _place(self, time_seconds: float) -> tuple[int, float]:
        """The grid instant at or below a moment, and the distance from it to that moment as a share of a hop."""
        position = (time_seconds - self._first_center_seconds) / (self._grid.hop_ms / 1000)
        below = math.floor(position + ON_GRID)
        return below, max(0.0, position - below)
