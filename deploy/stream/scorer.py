"""The streaming scorer: frames and audio in, in pieces of any size and in any order; decisions out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.stream.audio_input import AudioInput
from cavsync.deploy.stream.limits import GROUP_INSTANTS
from cavsync.deploy.stream.options import (
    DEFAULT_OPTIONS,
    OpenKeywords,
    ScoringKeywords,
    ScoringOptions,
    split_keywords,
)
from cavsync.deploy.stream.rows import Row, RowStream
from cavsync.deploy.stream.search import Search
from cavsync.deploy.stream.span import Span
from cavsync.deploy.stream.stray import StrayFilter
from cavsync.deploy.verdict.confidence import Evidence, judge
from cavsync.deploy.verdict.curve import curve_of_rows
from cavsync.deploy.verdict.records import SyncScore
from cavsync.errors import MediaError
from cavsync.media.align import SAMPLE_RATE_HZ


class SyncScorer:
    """Scores one stream: one decision every `decision_step_seconds` once the first window is full.

    Results depend neither on how the stream was cut into pieces nor on which of video and audio was pushed first, as
    long as neither is more than `max_lead_seconds` ahead of the other. Timestamps may have holes, jump ahead, and be
    set back (a wrap, a restarted sender): after a hole of more than 10 s, and after a clock that was set back by more
    than 1 s, windows start over; where only one of the two clocks was set back, decisions report missing audio. A
    single piece with a timestamp out of line is dropped. Memory is bounded. Not thread-safe; several scorers may share
    one opened bundle.

    Args:
        bundle: an opened bundle.
        options: how to score.
        on_row: called with each row of similarities, in order.
        keywords: fields of `ScoringOptions`, in place of those of `options`.

    Raises:
        ConfigError: an option that cannot be used, by itself or with this bundle.
    """

    def __init__(
        self,
        bundle: Bundle,
        options: ScoringOptions = DEFAULT_OPTIONS,
        *,
        on_row: Callable[[Row], None] | None = None,
        **keywords: Unpack[ScoringKeywords],
    ) -> None:
        self.bundle = bundle
        self.options = replace(options, **keywords)
        self.profile = self.options.limits
        self.grid = self.options.grid_for(bundle.manifest.sync)
        self.window_seconds = self.grid.window_seconds
        """Length of a decision's window."""
        self.max_offset_ms = self.grid.max_offset_ms
        """Half the search range."""
        self.lags_ms = self.grid.lags_ms
        """The lags (lags,) of every row and curve, ascending; read-only."""
        self._on_row = on_row
        self.reset()

    @classmethod
    def from_bundle(
        cls,
        path: Path | str | None = None,
        options: ScoringOptions = DEFAULT_OPTIONS,
        *,
        on_row: Callable[[Row], None] | None = None,
        **keywords: Unpack[OpenKeywords],
    ) -> SyncScorer:
        """Open the bundle folder `path`, by default the packaged one, and make a scorer from it.

        Keywords are those of `Bundle.open` (`engine`, `providers`, `threads`, `cores`) and those of the class.

        Raises:
            BundleError: missing, changed or inconsistent bundle.
            ConfigError: an engine, provider or option that cannot be used.
        """
        engine, scoring = split_keywords(keywords)
        options = replace(options, **scoring)
        return cls(Bundle.open(path, **engine), options, on_row=on_row)

    def reset(self) -> None:
        """Forget the stream; the next push starts a new one."""
        lead_seconds = self.options.lead_seconds
        # No frame should wait much longer than `group_seconds` for its group.
        group_instants = max(1, min(GROUP_INSTANTS, round(self.grid.frame_rate_hz * self.options.group_seconds)))
        self._search = Search(self.grid, is_adaptive=self.options.adaptive, group_instants=group_instants)
        self._stream = RowStream(
            self.bundle, self.grid, self._search, max_lead_seconds=lead_seconds, group_instants=group_instants
        )
        self._input = AudioInput()
        self._video_filter: StrayFilter[NDArray[np.uint8]] = StrayFilter()
        self._audio_filter: StrayFilter[NDArray[np.float32]] = StrayFilter()
        self._span: Span | None = None
        self._finished = False

    @property
    def video_span_seconds(self) -> tuple[float, float] | None:
        """Start of the first frame and end of the latest one; None before the first.

        The end counts as if the clock had never been set back.
        """
        video = self._stream.video
        if video.first_seconds is None:
            return None
        period = video.period_seconds if math.isfinite(video.period_seconds) else 0.0
        return video.first_seconds, video.progress_seconds + period

    @property
    def num_ignored_frames(self) -> int:
        """Frames ignored because their timestamp did not advance or was an isolated outlier."""
        return self._stream.video.num_ignored + self._video_filter.num_dropped

    def resolution_floor_ms(self, mean_stride: float) -> float:
        """Smallest resolvable offset with fewer frames or longer hops than the calibration used.

        The error of a mean over every `mean_stride`-th frame grows with the root of `mean_stride`; with a longer hop,
        the peak may lie anywhere between two lags.
        """
        sync, calibration = self.bundle.manifest.sync, self.bundle.manifest.calibration
        hop_ms = self.grid.hop_ms if self.grid.hop_ms > sync.hop_ms else 0.0
        rarer = mean_stride * sync.frame_rate_hz / self.grid.frame_rate_hz
        resolution_ms = 0.0 if calibration is None else calibration.resolution_ms
        return max(hop_ms / 2, resolution_ms * math.sqrt(max(1.0, rarer)))

    def push_video(self, frame: NDArray[np.uint8], *, pts_seconds: float) -> list[SyncScore]:
        """Add one frame, RGB (H, W, 3) uint8, shown from `pts_seconds` on; return the decisions now due.

        Raises:
            MediaError: a frame of another shape or type, or a timestamp that is not finite; the scorer stays usable.
        """
        self._check_open()
        _check_frame(frame)
        seconds = _checked_pts(pts_seconds)
        for due_seconds, accepted in self._video_filter.push(seconds, 0.0, frame):
            self._stream.video.push(accepted, due_seconds)
        return self._decide()

    def push_audio(
        self,
        samples: NDArray[np.float32] | NDArray[np.int16],
        *,
        pts_seconds: float,
        sample_rate_hz: int = 16_000,
    ) -> list[SyncScore]:
        """Add audio, float32 in [-1, 1] or int16, (n,) or (n, channels), that starts at `pts_seconds`; return the
        decisions now due.

        Raises:
            MediaError: audio of another shape or type, samples or a timestamp that are not finite, or a rate that the
                timestamps contradict; the scorer stays usable.
        """
        self._check_open()
        for start_seconds, mono in self._input.push(samples, _checked_pts(pts_seconds), sample_rate_hz):
            self._push_mono(start_seconds, mono)
        return self._decide()

    def flush(self) -> list[SyncScore]:
        """End the stream; return the remaining decisions. A stream shorter than one window gives one decision."""
        if self._finished:
            return []
        for start_seconds, mono in self._input.flush():
            self._push_mono(start_seconds, mono)
        for start_seconds, mono in self._audio_filter.flush():
            self._stream.audio.push(mono, start_seconds)
        for pts_seconds, frame in self._video_filter.flush():
            self._stream.video.push(frame, pts_seconds)
        self._stream.finish()
        decisions = self._decide()
        if self._span is not None:
            video = self._stream.video
            decisions += self._span.finish(last_epoch=video.clock.epoch, last_seconds=video.last_seconds)
        self._finished = True
        return decisions

    def _push_mono(self, start_seconds: float, mono: NDArray[np.float32]) -> None:
        for due_seconds, samples in self._audio_filter.push(start_seconds, len(mono) / SAMPLE_RATE_HZ, mono):
            self._stream.audio.push(samples, due_seconds)

    def _decide(self) -> list[SyncScore]:
        decisions: list[SyncScore] = []
        for row in self._stream.complete_rows():
            if self._span is not None and not self._span.continues_with(row):
                decisions += self._span.finish()
                self._span = None
            if self._span is None:
                self._span = Span(self.grid, self._judge_window, row)
            decisions += self._span.add(row)
            if self._on_row is not None:
                self._on_row(row)
        return decisions

    def _judge_window(self, rows: list[Row], end_seconds: float, window_seconds: float) -> SyncScore:
        similarity = np.array([row.similarity for row in rows]).reshape(len(rows), len(self.lags_ms))
        score = judge(
            curve_of_rows(self.lags_ms, similarity),
            evidence_of(rows),
            self.bundle.manifest.calibration,
            self.profile,
            time_seconds=end_seconds,
            window_seconds=window_seconds,
            resolution_floor_ms=self.resolution_floor_ms(float(np.mean([row.stride for row in rows] or [1]))),
        )
        self._search.note(score)
        return score

    def _check_open(self) -> None:
        if self._finished:
            raise MediaError("the stream was flushed and accepts no more input: call reset() to begin a new one")


def evidence_of(rows: list[Row]) -> Evidence:
    """Collect motion, level and frame period of the rows as arrays (rows,)."""
    facts = np.array([(row.motion, row.level_dbfs, row.period_seconds) for row in rows], dtype=np.float64)
    return Evidence(*facts.reshape(-1, 3).T)


def _check_frame(frame: Any) -> None:
    is_frame = isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
    if not is_frame or 0 in frame.shape:
        found = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise MediaError(f"a frame is {found}: push RGB frames as uint8 arrays of shape (height, width, 3)")


def _checked_pts(pts_seconds: Any) -> float:
    try:
        seconds = float(pts_seconds)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    # Beyond 2^40 s, a float cannot represent the distance between two samples.
    if not abs(seconds) < 2.0**40:
        raise MediaError(f"the timestamp is {pts_seconds!r}: give seconds as a finite number")
    return seconds
