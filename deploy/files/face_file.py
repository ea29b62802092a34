"""The speaking face of a file: at each time one of the faces, summed over the file."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.files.block_sums import BlockSums
from cavsync.deploy.files.whole_file import HeatMap
from cavsync.deploy.stream.face_path import FaceRow
from cavsync.deploy.stream.windows import MIN_FACE_SHARE
from cavsync.deploy.verdict.curve import FACE_PRIOR_ROWS, MIN_ROWS, Curve, FloatArray, curve_of_sums, mean_of
from cavsync.deploy.verdict.face_view import FaceView, LipMotion
from cavsync.deploy.verdict.records import SyncScore

# What is kept of each row besides its time, in this order; the box follows.
FACTS = ("mouth_opening", "level_dbfs", "sound_dbfs", "presence", "frontality", "eye_distance_px")
NUM_FACTS = len(FACTS) + 4


@dataclass(frozen=True)
class SpeakingFace:
    """The face that speaks, at each moment: arrays (n,) over the moments, `boxes` (n, 4).

    `tracks` numbers the faces, which may change from one moment to the next; `mouth_opening` is in distances between
    the eyes; `sound_dbfs` is the level of the audio there, NaN where it is missing, `level_dbfs` that of a segment.
    `frame_size` is width and height.
    """

    times_seconds: FloatArray
    tracks: NDArray[np.int64]
    mouth_opening: FloatArray
    sound_dbfs: FloatArray
    level_dbfs: FloatArray
    boxes: FloatArray
    frame_size: tuple[int, int]
    curve: Curve
    view: FaceView
    heat_map: HeatMap


class FaceFile:
    """Sums of a file's face rows in blocks of `block_seconds`: for each face 6 bytes per block and lag, 52 per row.

    A block of time has a block of sums for each face in it.
    """

    def __init__(self, lags_ms: FloatArray, block_seconds: float, rate_hz: float) -> None:
        self._lags_ms = lags_ms
        self._block_seconds = block_seconds
        self._rate_hz = rate_hz
        self._begun = (-1, 0.0)
        # Of each block of sums: its block of time, face, and first row.
        self._sums = BlockSums(len(lags_ms))
        self._num_times = 0
        self._time_blocks, self._tracks, self._starts = array("q"), array("q"), array("d")
        self._open: dict[int, int] = {}
        # Of each row: its block of sums, time, and facts.
        self._blocks, self._times_seconds, self._facts = array("I"), array("d"), array("f")
        self._moment = (-1, 0.0)
        self._num_at_once = 0
        self.most_at_once = 0
        """Most faces in one frame."""
        self._frame_size = (0, 0)

    def add(self, row: FaceRow) -> None:
        """Add the next row."""
        epoch, begun = self._begun
        if row.epoch != epoch or not begun <= row.time_seconds < begun + self._block_seconds:
            self._open = {}
            self._num_times += 1
            self._begun = (row.epoch, row.time_seconds)
        moment = (row.epoch, row.time_seconds)
        self._num_at_once = self._num_at_once + 1 if moment == self._moment else 1
        self._moment, self.most_at_once = moment, max(self.most_at_once, self._num_at_once)
        if row.track not in self._open:
            self._open[row.track] = self._sums.begin()
            self._time_blocks.append(self._num_times - 1)
            self._tracks.append(row.track)
            self._starts.append(row.time_seconds)
        block, look = self._open[row.track], row.look
        self._sums.add(block, row.similarity)
        self._blocks.append(block)
        self._times_seconds.append(row.time_seconds)
        self._facts.extend((look.mouth_opening, row.level_dbfs, row.sound_dbfs))
        self._facts.extend((look.presence, look.frontality, look.eye_distance_px, *look.box))
        self._frame_size = look.frame_size

    def speaking(self, records: Sequence[SyncScore], duration_seconds: float) -> SpeakingFace | None:
        """Return the speaking face: in each block the one that most of its decided windows chose, else the one that
        matches the sound best; None where faces fill too little of the file."""
        sums, counts = self._sums.totals()
        chosen = self._chosen(_Votes(records), mean_of(sums, counts))
        sums, counts, starts = sums[chosen], counts[chosen], np.array(self._starts)[chosen]
        blocks = np.array(self._blocks, dtype=np.int64)
        is_chosen = np.isin(blocks, chosen)
        expected = max(1.0, duration_seconds * self._rate_hz)
        num_rows = int(is_chosen.sum())
        if num_rows < max(MIN_ROWS, MIN_FACE_SHARE * expected):
            return None
        facts = np.array(self._facts, dtype=np.float64).reshape(-1, NUM_FACTS)[is_chosen]
        tracks = np.array(self._tracks, dtype=np.int64)[blocks[is_chosen]]
        times_seconds = np.array(self._times_seconds)[is_chosen]
        return SpeakingFace(
            times_seconds=times_seconds,
            tracks=tracks,
            mouth_opening=facts[:, 0],
            sound_dbfs=facts[:, 2],
            level_dbfs=facts[:, 1],
            boxes=facts[:, len(FACTS) :],
            frame_size=self._frame_size,
            curve=curve_of_sums(self._lags_ms, sums, counts, num_rows, prior_rows=FACE_PRIOR_ROWS),
            view=self._view(times_seconds, facts, tracks, num_rows / expected),
            heat_map=HeatMap(starts, self._lags_ms, mean_of(sums, counts)),
        )

    def _chosen(self, votes: _Votes, means: FloatArray) -> list[int]:
        """Return the block of sums of the face that speaks, for each block of time; `means` (blocks, lags)."""
        peaks = np.where(np.isfinite(means), means, -np.inf).max(axis=1, initial=-np.inf)

        def rank(block: int) -> tuple[float, float, int]:
            return votes.of(self._tracks[block], self._starts[block]), float(peaks[block]), -self._tracks[block]

        groups = groupby(range(len(self._tracks)), key=lambda block: self._time_blocks[block])
        return [max(blocks, key=rank) for _, blocks in groups]

    def _view(self, times_seconds: FloatArray, facts: FloatArray, tracks: NDArray[np.int64], share: float) -> FaceView:
        presence, frontality, eye_distance_px, left, top, right, bottom = map(float, np.median(facts[:, 3:], axis=0))
        numbers, counts = np.unique(tracks, return_counts=True)
        motions = [LipMotion.of(times_seconds[tracks == number], facts[tracks == number, 0]) for number in numbers]
        return FaceView(
            track=int(numbers[counts.argmax()]),
            box=(left, top, right, bottom),
            frame_size=self._frame_size,
            presence=presence,
            frontality=frontality,
            eye_distance_px=eye_distance_px,
            lips=max(motions, key=lambda motion: motion.opening_range),
            share=min(1.0, share),
        )


class _Votes:
    """Decided windows by the face that they chose."""

    def __init__(self, records: Sequence[SyncScore]) -> None:
        windows: defaultdict[int, list[tuple[float, float, float]]] = defaultdict(list)
        for record in records:
            for face in record.faces:
                if face.is_measured and face.face is not None and face.face == record.face:
                    start_seconds = record.time_seconds - record.window_seconds
                    windows[face.face.track].append((start_seconds, record.time_seconds, face.confidence or 0.0))
        self._windows = {track: np.array(found) for track, found in windows.items()}

    def of(self, track: int, time_seconds: float) -> float:
        """Sum of the confidences with which windows over this time chose the face."""
        if track not in self._windows:
            return 0.0
        starts, ends, confidences = self._windows[track].T
        return float(confidences[(starts <= time_seconds) & (time_seconds < ends)].sum())
