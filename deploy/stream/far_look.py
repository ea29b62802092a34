"""Similarities at up to twice the search range, from embeddings that the search needs anyway, to detect larger offsets.

The audio beyond the range of one moment lies within that of another, so that this takes no embedding of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.stream.grid import Grid
from cavsync.deploy.stream.timeline import Timeline
from cavsync.deploy.verdict.curve import Curve, FloatArray, curve_of_sums

CELL_SECONDS = 0.16
"""One moment of each track in so much time is enough for a file."""
CHUNK_SECONDS = 10.0
"""Moments are compared in groups of this length."""


@dataclass(frozen=True)
class _Moment:
    """A moment that waits for the audio around it: its instant of the audio grid, the distance from that as a share of
    a hop, its embedding (D,), and which instants of the audio were embedded with it, one of `step`."""

    instant: int
    share_above: float
    embedding: NDArray[np.float32]
    step: int


class FarLook:
    """Pass moments with the audio embeddings in their range to `note`; get their mean similarity from `curve`.

    Moments of a track come in any order within `disorder_seconds`. Memory: one embedding per moment and one per instant
    of the audio for that long, the search range and `CHUNK_SECONDS`.
    """

    def __init__(self, grid: Grid, embedding_dim: int, disorder_seconds: float) -> None:
        hop_seconds = grid.hop_ms / 1000
        self._reach = grid.reach
        self._wait = grid.reach + 2 + math.ceil(disorder_seconds / hop_seconds)
        self._chunk = round(CHUNK_SECONDS / hop_seconds)
        self._lags_ms = np.arange(-2 * grid.reach, 2 * grid.reach + 1, dtype=np.float64) * grid.hop_ms
        self._audio = Timeline((embedding_dim,), np.float32, np.nan)
        self._waiting: dict[tuple[int, int], _Moment] = {}
        self._epoch: int | None = None
        self._newest = self._settled = 0
        self._sums: dict[int, FloatArray] = {}
        self._counts: dict[int, NDArray[np.int64]] = {}
        self._num_moments: dict[int, int] = {}

    def note(
        self,
        epoch: int,
        track: int,
        time_seconds: float,
        place: tuple[int, float],
        embedding: NDArray[np.float32],
        audio: NDArray[np.float32],
        *,
        step: int = 1,
    ) -> None:
        """Add a moment of a track.

        Args:
            epoch: that of the audio.
            track: number of the face, or 0.
            time_seconds: the moment.
            place: the instant of the audio at or below it, and its distance from that as a share of a hop.
            embedding: of the moment (D,).
            audio: embeddings (2 * reach + 2, D) from `reach` instants before that on; NaN where missing.
            step: one of so many instants was embedded.
        """
        if epoch != self._epoch:
            self._settle()
            self._epoch, self._newest, self._settled = epoch, place[0], place[0] - self._wait
            self._audio.start_at(self._settled - self._reach)
        key = track, math.floor(time_seconds / CELL_SECONDS)
        known = self._waiting.get(key)
        if place[0] < self._settled or (known is not None and known.step <= step):
            return
        self._waiting[key] = _Moment(*place, embedding, step)
        self._store(place[0] - self._reach, audio)
        self._newest = max(self._newest, place[0])
        before = self._newest - self._wait
        if before - self._settled >= self._chunk:
            self._settle(before)

    def curve(self, tracks: Iterable[int] = (0,)) -> Curve:
        """Return the mean similarity of all moments of some tracks over twice the range, once all were noted."""
        self._settle()
        known = [track for track in tracks if track in self._sums]
        sums = np.array([self._sums[track] for track in known], dtype=np.float64).reshape(-1, len(self._lags_ms))
        counts = np.array([self._counts[track] for track in known], dtype=np.int64).reshape(sums.shape)
        return curve_of_sums(self._lags_ms, sums, counts, sum(self._num_moments[track] for track in known))

    def _store(self, start: int, audio: NDArray[np.float32]) -> None:
        audio = audio[max(0, self._audio.first - start) :]
        start = max(start, self._audio.first)
        stop = start + len(audio)
        self._audio.append_fill(max(0, stop - self._audio.end))
        before = self._audio.read(start, stop)
        self._audio.write(start, np.where(np.isnan(audio), before, audio))

    def _settle(self, before: int | None = None) -> None:
        """Compare the moments before an instant, or all."""
        done = [key for key, moment in self._waiting.items() if before is None or moment.instant < before]
        by_track: dict[int, list[_Moment]] = {}
        for key in done:
            by_track.setdefault(key[0], []).append(self._waiting.pop(key))
        for track, moments in by_track.items():
            rows = self._rows(moments)
            zeros = np.zeros(len(self._lags_ms))
            self._sums[track] = self._sums.get(track, zeros) + np.nansum(rows, axis=0)
            self._counts[track] = self._counts.get(track, zeros.astype(np.int64)) + np.isfinite(rows).sum(axis=0)
            self._num_moments[track] = self._num_moments.get(track, 0) + len(moments)
        if before is not None:
            self._settled = before
            self._audio.drop_before(before - 2 * self._reach)

    def _rows(self, moments: list[_Moment]) -> FloatArray:
        """Return the similarities (moments, lags) of moments, NaN where audio is missing."""
        instants = np.array([moment.instant for moment in moments])
        shares = np.array([moment.share_above for moment in moments])[:, None]
        first = int(instants.min()) - 2 * self._reach
        audio = self._audio.read(first, int(instants.max()) + 2 * self._reach + 2)
        similarity = (np.stack([moment.embedding for moment in moments]) @ audio.T).astype(np.float64)
        places = (instants - first)[:, None] + np.arange(-2 * self._reach, 2 * self._reach + 2)
        found = np.take_along_axis(similarity, places, axis=1)
        rows: FloatArray = np.where(shares == 0, found[:, :-1], (1 - shares) * found[:, :-1] + shares * found[:, 1:])
        return rows
