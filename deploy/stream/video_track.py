"""The frames of one stream, made small on arrival, gathered into tubelets and returned in groups of instants.

Instants are timestamps of real frames, at most `frame_rate_hz` of them per second, so that variable frame rates are
handled correctly. Groups have a fixed length, so results do not depend on when frames were pushed.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.tubelets import SmallFrame, Tubelet
from cavsync.deploy.stream.clock import EpochClock
from cavsync.deploy.stream.limits import HOLE_SECONDS, JUMP_BACK_SECONDS, JUMP_SECONDS
from cavsync.media.align import nearest_index, tubelet_times_seconds
from cavsync.media.frame import resize_center_crop

log = logging.getLogger(__name__)

# No real source exceeds 2,000 fps; one that claims to would exhaust memory before a tubelet is complete.
MIN_STEP_SECONDS = 0.0005
# Containers round timestamps to a millisecond; a frame early by this share of a grid period counts as on time.
EARLY_SHARE = 0.05


@dataclass(frozen=True)
class VisualInstant:
    """One scored moment of the video: the frame at `time_seconds` in epoch `epoch` of the frames' clock.

    `motion` is the largest mean absolute difference, in 8-bit levels, between two consecutive frames since the
    previous instant; `period_seconds` is the time since the previous frame, NaN for the first one and after a hole;
    `elapsed_seconds` counts up from the first frame, a hole longer than `HOLE_SECONDS` and a clock set back as
    `JUMP_SECONDS` each.
    """

    time_seconds: float
    epoch: int
    elapsed_seconds: float
    motion: float
    period_seconds: float


@dataclass
class _Epoch:
    """The resized frames of one epoch that tubelets may still need."""

    number: int
    first_seconds: float
    last_seconds: float = -math.inf
    next_slot: int = 0
    closed: bool = False
    times: list[float] = field(default_factory=list)
    frames: list[SmallFrame] = field(default_factory=list)


class VideoTrack:
    """Push frames; take groups of instants and their tubelets in order of time.

    Keeps the small frames of the groups not taken yet, plus those of one tubelet. Where tubelets are not asked for
    (`has_tubelets`), small frames serve to measure motion only, and a few of their pixels are enough.
    """

    def __init__(self, bundle: Bundle, frame_rate_hz: float, group_instants: int, *, has_tubelets: bool = True) -> None:
        self._visual = bundle.manifest.visual
        self._rate_hz = frame_rate_hz
        self._group_instants = group_instants
        self._make_small = resize_center_crop if has_tubelets else _sampled
        self._epochs: deque[_Epoch] = deque()
        self._due: deque[VisualInstant] = deque()
        self._motion = 0.0
        self.clock = EpochClock()
        self.first_seconds: float | None = None
        self.elapsed_seconds = 0.0
        self.period_seconds = math.nan
        self._num_frames = 0
        self.num_ignored = 0
        self.finished = False

    @property
    def last_seconds(self) -> float:
        """Timestamp of the latest frame; minus infinity before the first."""
        return self._epochs[-1].last_seconds if self._epochs else -math.inf

    @property
    def progress_seconds(self) -> float:
        """Progress at the latest frame; minus infinity before the first."""
        return self.clock.progress(self.last_seconds)

    def push(self, rgb: NDArray[np.uint8], pts_seconds: float) -> bool:
        """Add the frame (H, W, 3) uint8 shown from `pts_seconds` on; return whether it was accepted.

        A frame not later than the previous one is ignored, unless the clock was set back by at least
        `JUMP_BACK_SECONDS`.
        """
        last_seconds = self.last_seconds
        if last_seconds - JUMP_BACK_SECONDS < pts_seconds < last_seconds + MIN_STEP_SECONDS:
            self._ignore(pts_seconds)
            return False
        frame = SmallFrame(self._num_frames, self._make_small(rgb, self._visual.img_size))
        self._num_frames += 1
        if pts_seconds <= last_seconds:
            self.clock.set_back(last_seconds, pts_seconds)
            self.elapsed_seconds += JUMP_SECONDS
            self._epochs[-1].closed = True
        if not self._epochs or self._epochs[-1].closed:
            self._epochs.append(_Epoch(self.clock.epoch, pts_seconds))
            self.period_seconds = math.nan
        if self.first_seconds is None:
            self.first_seconds = pts_seconds
        epoch = self._epochs[-1]
        if epoch.frames:
            step_seconds = pts_seconds - epoch.last_seconds
            is_hole = step_seconds > HOLE_SECONDS
            self.elapsed_seconds += JUMP_SECONDS if is_hole else step_seconds
            self.period_seconds = math.nan if is_hole else step_seconds
            self._motion = max(self._motion, _mean_difference(frame.pixels, epoch.frames[-1].pixels))
        epoch.times.append(pts_seconds)
        epoch.frames.append(frame)
        epoch.last_seconds = pts_seconds
        slot = math.floor((pts_seconds - epoch.first_seconds) * self._rate_hz + EARLY_SHARE)
        if slot >= epoch.next_slot:
            self._due.append(
                VisualInstant(
                    time_seconds=pts_seconds,
                    epoch=epoch.number,
                    elapsed_seconds=self.elapsed_seconds,
                    motion=self._motion,
                    period_seconds=self.period_seconds,
                )
            )
            epoch.next_slot = slot + 1
            self._motion = 0.0
        return True

    def finish(self) -> None:
        """End the video: the last frame takes the place of missing ones in the last tubelets."""
        self.finished = True
        if self._epochs:
            self._epochs[-1].closed = True

    def take_group(self) -> list[VisualInstant]:
        """Take the next group of instants, all of one epoch; empty while the group is not complete.

        Its tubelets are available until the next group is taken.
        """
        while len(self._epochs) > 1 and (not self._due or self._due[0].epoch > self._epochs[0].number):
            self._epochs.popleft()
        if not self._epochs:
            return []
        epoch = self._epochs[0]
        self._forget(epoch)
        group: list[VisualInstant] = []
        for instant in self._due:
            if instant.epoch != epoch.number or len(group) == self._group_instants:
                break
            group.append(instant)
        is_full = len(group) == self._group_instants
        is_whole = is_full and bool(self._wanted_seconds(group[-1].time_seconds)[-1] <= epoch.last_seconds)
        if not epoch.closed and not is_whole:
            return []
        for _ in group:
            self._due.popleft()
        return group

    def tubelets(self, group: list[VisualInstant]) -> list[Tubelet]:
        """Return the T frames of the tubelet of each instant of the group taken last."""
        epoch = self._epochs[0]
        times = np.asarray(epoch.times)
        wanted = (self._wanted_seconds(instant.time_seconds) for instant in group)
        return [[epoch.frames[index] for index in nearest_index(times, moments)] for moments in wanted]

    def _wanted_seconds(self, time_seconds: float) -> NDArray[np.float64]:
        center = np.asarray(time_seconds, dtype=np.float64)
        return tubelet_times_seconds(center, self._visual.num_frames, self._visual.frame_step_seconds)

    def _forget(self, epoch: _Epoch) -> None:
        """Drop the frames that no tubelet from the next instant on can use."""
        next_seconds = self._due[0].time_seconds if self._due else epoch.last_seconds
        earliest = float(self._wanted_seconds(next_seconds)[0])
        keep = max(0, int(np.searchsorted(epoch.times, earliest, side="right")) - 1)
        del epoch.times[:keep], epoch.frames[:keep]

    def _ignore(self, pts_seconds: float) -> None:
        self.num_ignored += 1
        level = logging.WARNING if self.num_ignored == 1 else logging.DEBUG
        log.log(level, "frame at %.3f s ignored: not later than the one at %.3f s", pts_seconds, self.last_seconds)


def _sampled(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return evenly spread pixels (size, size, 3) of a frame."""
    rows, columns = (np.linspace(0, length - 1, size).astype(np.int64) for length in rgb.shape[:2])
    return rgb[rows].take(columns, axis=1)


def _mean_difference(frame: NDArray[np.uint8], previous: NDArray[np.uint8]) -> float:
    return float(np.abs(frame.astype(np.int16) - previous).mean())
