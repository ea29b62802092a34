"""The faces of a stream at the frame rate of the face model: frames are encoded once, instants embedded once.

Frames come at any rate; the model sees `frame_rate_hz` of them per second, at the multiples of its period on the
stream's clock. What a face looks like at such a time lies between its two neighbouring frames, linearly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.faces.tracks import Face
from cavsync.deploy.runtime.face_engines import FaceEngines
from cavsync.media.face import MAX_GAP_SECONDS
from cavsync.media.mouth import NUM_FEATURES, NUM_LANDMARK_FEATURES, frame_features, mouth_image

ROUNDING_SECONDS = 1e-3
"""Containers round timestamps by as much."""
ON_GRID = 1e-6
# The opening of the mouth is the last of the landmark features.
OPENING = NUM_LANDMARK_FEATURES - 1


@dataclass(frozen=True)
class FaceLook:
    """Quality of the view of a face at one time; see `Face`. `mouth_opening` is in distances between the eyes."""

    presence: float
    frontality: float
    eye_distance_px: float
    mouth_opening: float
    box: tuple[float, float, float, float]
    frame_size: tuple[int, int]


@dataclass(frozen=True)
class FaceInstant:
    """A moment of one face: the middle of the grid frames that its embedding (D,) sees."""

    track: int
    time_seconds: float
    embedding: NDArray[np.float32]
    look: FaceLook


@dataclass
class _Seen:
    """A face in a frame and its `mouth_image`; `values` are its features and its look, once they are computed."""

    face: Face
    mouth: NDArray[np.uint8]
    values: NDArray[np.float32] | None = None


@dataclass
class _Run:
    """Unbroken grid frames of one face: those encoded and still needed, and the latest frame."""

    track: int
    next_index: int
    last_seconds: float
    last: _Seen
    frame_size: tuple[int, int]
    first_index: int = 0
    encoded: list[NDArray[np.float32]] = field(default_factory=list)
    looks: list[FaceLook] = field(default_factory=list)


@dataclass(frozen=True)
class _GridFrame:
    """A grid frame of a run, at `share` of the way from one frame to the next."""

    run: _Run
    before: _Seen
    after: _Seen
    share: float

    @property
    def values(self) -> NDArray[np.float32]:
        """Features and look, linearly between those of the frames."""
        assert self.before.values is not None
        assert self.after.values is not None
        return self.before.values + np.float32(self.share) * (self.after.values - self.before.values)


class FaceGrid:
    """Push the faces of every frame of one clock in order; take moments from `encode`, about once per group.

    Where frames lie depends on their timestamps alone, and so do the batches.
    """

    def __init__(self, engines: FaceEngines, group_frames: int) -> None:
        self._engines = engines
        self._rate_hz = engines.spec.frame_rate_hz
        self._num_frames = engines.spec.num_frames
        self._group_frames = group_frames
        self._runs: dict[int, _Run] = {}
        self._pending: list[_GridFrame] = []
        self._group = 0
        self._horizon_seconds = -math.inf
        self._next_index = 0

    @property
    def horizon_seconds(self) -> float:
        """Every moment before this time was returned by `encode`."""
        return self._horizon_seconds

    def is_due(self, pts_seconds: float) -> bool:
        """Whether `encode` is to be called before the frame at this time is pushed."""
        return bool(self._pending) and self._group_of(pts_seconds) != self._group

    def push(self, faces: list[Face], frame: NDArray[np.uint8], pts_seconds: float) -> None:
        """Add the faces of the frame (H, W, 3) at this time."""
        if not self._pending:
            self._group = self._group_of(pts_seconds)
        runs = {}
        for face in faces:
            seen = _Seen(face, mouth_image(face.points, frame))
            run = self._runs.get(face.track)
            if run is None or pts_seconds - run.last_seconds > MAX_GAP_SECONDS + ROUNDING_SECONDS:
                size = (frame.shape[1], frame.shape[0])
                first = math.ceil(pts_seconds * self._rate_hz - ON_GRID)
                run = _Run(face.track, first, pts_seconds, seen, size, first_index=first)
            self._extend(run, seen, pts_seconds)
            runs[face.track] = run
        self._runs = runs
        self._next_index = math.floor(pts_seconds * self._rate_hz + ON_GRID) + 1
        if not self._pending:
            self._advance()

    def encode(self) -> list[FaceInstant]:
        """Encode the grid frames that wait, and return the moments that they complete, in order of time."""
        pending, self._pending = self._pending, []
        if pending:
            _compute({id(seen): seen for frame in pending for seen in (frame.before, frame.after)}.values())
            values = np.stack([frame.values for frame in pending])
            encoded = self._engines.encode_frames(np.ascontiguousarray(values[:, :NUM_FEATURES]))
            for frame, row, code in zip(pending, values, encoded, strict=True):
                frame.run.encoded.append(code)
                frame.run.looks.append(_look(row, frame.run.frame_size))
        instants: list[FaceInstant] = []
        for run in {id(frame.run): frame.run for frame in pending}.values():
            instants += self._embed(run)
        self._advance()
        return sorted(instants, key=lambda instant: (instant.time_seconds, instant.track))

    def _extend(self, run: _Run, seen: _Seen, pts_seconds: float) -> None:
        """Add the grid frames after the run's last frame, up to this one."""
        step_seconds = pts_seconds - run.last_seconds
        while (wanted := run.next_index / self._rate_hz) <= pts_seconds + ON_GRID / self._rate_hz:
            share = min(1.0, max(0.0, (wanted - run.last_seconds) / step_seconds)) if step_seconds > 0 else 1.0
            self._pending.append(_GridFrame(run, run.last, seen, share))
            run.next_index += 1
        run.last_seconds, run.last = pts_seconds, seen

    def _embed(self, run: _Run) -> list[FaceInstant]:
        """Embed the moments that a run's encoded frames complete, and release frames that no later one needs."""
        num_moments = len(run.encoded) - self._num_frames + 1
        if num_moments < 1:
            return []
        first_seconds = (run.first_index + (self._num_frames - 1) / 2) / self._rate_hz
        looks = run.looks[self._num_frames // 2 :]
        instants = [
            FaceInstant(run.track, first_seconds + place / self._rate_hz, embedding, looks[place])
            for place, embedding in enumerate(self._engines.embed_frames(np.stack(run.encoded)))
        ]
        del run.encoded[:num_moments], run.looks[:num_moments]
        run.first_index += num_moments
        return instants

    def _advance(self) -> None:
        # The moments of a face that is still followed lie half a window before its next grid frame; those of a face
        # yet to come half a window after it.
        waiting = (self._num_frames - 1) / 2 if self._runs else 0.0
        self._horizon_seconds = (self._next_index - waiting) / self._rate_hz

    def _group_of(self, pts_seconds: float) -> int:
        return math.floor((pts_seconds * self._rate_hz + ON_GRID) / self._group_frames)


def _compute(frames: Iterable[_Seen]) -> None:
    """Compute the features of faces, and put them into one array with their look: both are interpolated together."""
    fresh = [seen for seen in frames if seen.values is None]
    if not fresh:
        return
    features = frame_features(np.stack([seen.face.points for seen in fresh]), np.stack([seen.mouth for seen in fresh]))
    for seen, row in zip(fresh, features, strict=True):
        face = seen.face
        look = np.array([face.presence, face.frontality, face.eye_distance_px, *face.box], dtype=np.float32)
        seen.values = np.concatenate([row, look])


def _look(values: NDArray[np.float32], frame_size: tuple[int, int]) -> FaceLook:
    presence, frontality, eye_distance_px, left, top, right, bottom = map(float, values[NUM_FEATURES:])
    return FaceLook(
        presence, frontality, eye_distance_px, float(values[OPENING]), (left, top, right, bottom), frame_size
    )
