"""The pictures of one stream: made small at once, gathered into tubelets, one embedding per instant.

Instants are timestamps of real pictures, at most `frame_rate_hz` of them per second, so variable frame rates keep their
meaning. Tubelets are embedded in groups of fixed length, so the result does not depend on when pictures were pushed.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.bundle import Bundle
from cavsync.deploy.limits import GROUP_INSTANTS, MAX_JUMP_SECONDS
from cavsync.errors import MediaError
from cavsync.media.align import nearest_index, tubelet_times_seconds
from cavsync.media.picture import resize_center_crop

log = logging.getLogger(__name__)

# Containers round timestamps to a millisecond; a picture this early (in periods of the grid) is still on time.
EARLY_SHARE = 0.05


@dataclass(frozen=True)
class VisualInstant:
    """One embedded moment of the picture.

    `embedding` is (D,); `motion` the largest mean absolute difference, in 8-bit levels, between two consecutive
    pictures since the instant before; `period_seconds` the time since the picture before, NaN for the first.
    """

    time_seconds: float
    embedding: NDArray[np.float32]
    motion: float
    period_seconds: float


@dataclass(frozen=True)
class _Due:
    time_seconds: float
    motion: float
    period_seconds: float


class VideoTrack:
    """Push pictures, take instants from `ready` in the order of time.

    Kept: the small pictures of one group and one tubelet, and the embeddings that were not taken yet.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._visual = bundle.manifest.visual
        self._rate_hz = bundle.manifest.sync.frame_rate_hz
        self._times: list[float] = []
        self._pictures: list[NDArray[np.uint8]] = []
        self._due: deque[_Due] = deque()
        self._next_slot = 0
        self._motion = 0.0
        self.ready: deque[VisualInstant] = deque()
        self.first_seconds: float | None = None
        self.last_seconds = -math.inf
        self.period_seconds = math.nan
        self.num_ignored = 0
        self.finished = False

    def push(self, rgb: NDArray[np.uint8], pts_seconds: float) -> None:
        """Add the picture (H, W, 3) shown from `pts_seconds` on; one that is not later than the last is ignored.

        Raises:
            MediaError: the timestamp jumps ahead by more than `MAX_JUMP_SECONDS`.
        """
        if pts_seconds <= self.last_seconds:
            self._ignore(pts_seconds)
            return
        if self.first_seconds is None:
            self.first_seconds = pts_seconds
        elif pts_seconds - self.last_seconds > MAX_JUMP_SECONDS:
            raise MediaError(
                f"the picture's timestamp jumps from {self.last_seconds:.1f} s to {pts_seconds:.1f} s, at most "
                f"{MAX_JUMP_SECONDS:.0f} s can be bridged: reset the scorer or mend the timestamps"
            )
        picture = resize_center_crop(rgb, self._visual.img_size)
        if self._pictures:
            self.period_seconds = pts_seconds - self.last_seconds
            self._motion = max(self._motion, _mean_difference(picture, self._pictures[-1]))
        self._times.append(pts_seconds)
        self._pictures.append(picture)
        self.last_seconds = pts_seconds
        self._take_if_due(pts_seconds)
        self._embed_groups()

    def finish(self) -> None:
        """No more pictures: embed what is left, the last picture standing in for those that never came."""
        if not self.finished and self._due:
            self._embed(len(self._due))
        self.finished = True

    def _take_if_due(self, pts_seconds: float) -> None:
        assert self.first_seconds is not None
        slot = math.floor((pts_seconds - self.first_seconds) * self._rate_hz + EARLY_SHARE)
        if slot >= self._next_slot:
            self._due.append(_Due(pts_seconds, self._motion, self.period_seconds))
            self._next_slot = slot + 1
            self._motion = 0.0

    def _embed_groups(self) -> None:
        while len(self._due) >= GROUP_INSTANTS:
            if self._wanted_seconds(self._due[GROUP_INSTANTS - 1].time_seconds)[-1] > self.last_seconds:
                return
            self._embed(GROUP_INSTANTS)

    def _embed(self, count: int) -> None:
        due = [self._due.popleft() for _ in range(count)]
        tubelets = np.stack([self._tubelet(item.time_seconds) for item in due])
        embeddings = self._bundle.embed_pictures(tubelets)
        for item, embedding in zip(due, embeddings, strict=True):
            self.ready.append(VisualInstant(item.time_seconds, embedding, item.motion, item.period_seconds))
        self._forget(self._due[0].time_seconds if self._due else self.last_seconds)

    def _tubelet(self, time_seconds: float) -> NDArray[np.uint8]:
        wanted = self._wanted_seconds(time_seconds)
        nearest = nearest_index(np.asarray(self._times), wanted)
        return np.stack([self._pictures[index] for index in nearest])

    def _wanted_seconds(self, time_seconds: float) -> NDArray[np.float64]:
        center = np.asarray(time_seconds, dtype=np.float64)
        return tubelet_times_seconds(center, self._visual.num_frames, self._visual.frame_step_seconds)

    def _forget(self, next_seconds: float) -> None:
        """Drop the pictures that no tubelet from `next_seconds` on can reach."""
        earliest = float(self._wanted_seconds(next_seconds)[0])
        keep = max(0, int(np.searchsorted(self._times, earliest, side="right")) - 1)
        del self._times[:keep], self._pictures[:keep]

    def _ignore(self, pts_seconds: float) -> None:
        self.num_ignored += 1
        level = logging.WARNING if self.num_ignored == 1 else logging.DEBUG
        log.log(level, "picture at %.3f s ignored: not later than the one at %.3f s", pts_seconds, self.last_seconds)


def _mean_difference(picture: NDArray[np.uint8], previous: NDArray[np.uint8]) -> float:
    return float(np.abs(picture.astype(np.int16) - previous).mean())
