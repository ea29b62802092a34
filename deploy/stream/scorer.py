"""The streaming scorer: frames and audio in, in pieces of any size and in any order; decisions out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.stream.audio_input import AudioInput
from cavsync.deploy.stream.checks import check_frame, checked_seconds
from cavsync.deploy.stream.face_path import FacePath, FaceRow, OnFaces
from cavsync.deploy.stream.limits import GROUP_INSTANTS
from cavsync.deploy.stream.options import (
    DEFAULT_OPTIONS,
    OpenKeywords,
    ScoringKeywords,
    ScoringOptions,
    split_keywords,
)
from cavsync.deploy.stream.rows import AT_ONCE, NEVER, ON_DEMAND, Row, RowStream, evidence_of
from cavsync.deploy.stream.search import Search
from cavsync.deploy.stream.span import Span
from cavsync.deploy.stream.stray import LONGEST_PACKET_SECONDS, StrayFilter
from cavsync.deploy.stream.window_queue import WindowQueue
from cavsync.deploy.stream.windows import MIN_FACE_SHARE, FaceJudge, Window
from cavsync.deploy.verdict.confidence import judge, lack_of_input
from cavsync.deploy.verdict.curve import Curve, curve_of_rows
from cavsync.deploy.verdict.records import FACE, WHOLE, SyncScore
from cavsync.errors import MediaError
from cavsync.media.align import SAMPLE_RATE_HZ

NO_FACE = f"no face is in at least {MIN_FACE_SHARE:.0%} of the window"


class SyncScorer:
    """Scores one stream: one decision every `decision_step_seconds` once the first window is full.

    Results depend neither on how the stream was cut into pieces nor on which of video and audio was pushed first, as
    long as neither is more than `max_lead_seconds` ahead of the other. Timestamps may have holes, jump ahead, and be
    set back (a wrap, a restarted sender): after a hole of more than 10 s, and after a clock that was set back by more
    than 1 s, windows start over; where only one of the two clocks was set back, decisions report missing audio. A
    single frame, or up to 0.2 s of audio, with timestamps out of line is dropped. Memory is bounded. Not thread-safe;
    several scorers may share one opened bundle.

    Args:
        bundle: an opened bundle.
        options: how to score.
        on_row: called with each row of similarities of the whole picture, in order; with both paths, with the rows that
            were compared (see `WindowQueue`).
        on_face_row: called with each row of a face, in order.
        on_faces: called with each frame in which faces were looked for and found: the frame, its time, the faces.
        looks_far: prepare `far_curve`.
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
        on_face_row: Callable[[FaceRow], None] | None = None,
        on_faces: OnFaces | None = None,
        looks_far: bool = False,
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
        self.paths = self.options.paths_for(bundle.manifest)
        """The paths that are judged, WHOLE, FACE or both."""
        self._on_row, self._on_face_row, self._on_faces = on_row, on_face_row, on_faces
        self._looks_far = looks_far
        self.reset()

    @classmethod
    def from_bundle(
        cls,
        path: Path | str | None = None,
        /,
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
        lead_seconds, uses_whole = self.options.lead_seconds, WHOLE in self.paths
        # No frame should wait much longer than `batch_seconds` for its group.
        group_instants = max(1, min(GROUP_INSTANTS, round(self.grid.frame_rate_hz * self.options.batch_seconds)))
        is_adaptive = self.options.adaptive and uses_whole
        self._search = Search(self.grid, is_adaptive=is_adaptive, group_instants=group_instants)
        uses_both = uses_whole and FACE in self.paths
        # An adaptive search needs the decisions about the whole picture at once.
        self._is_on_demand = uses_both and not is_adaptive
        self._stream = RowStream(
            self.bundle,
            self.grid,
            self._search,
            max_lead_seconds=lead_seconds,
            group_instants=group_instants,
            compared=ON_DEMAND if self._is_on_demand else AT_ONCE if uses_whole else NEVER,
            demand_seconds=self._demand_seconds() if self._is_on_demand else 0.0,
            looks_far=self._looks_far and uses_whole,
        )
        faces = self._new_face_path() if FACE in self.paths else None
        self._faces = None if faces is None else faces[0]
        self._windows = WindowQueue(self._stream, self.grid, self._judge_whole, faces, self._on_row)
        self._input = AudioInput()
        self._video_filter: StrayFilter[NDArray[np.uint8]] = StrayFilter(longest_seconds=0.0)
        self._audio_filter: StrayFilter[NDArray[np.float32]] = StrayFilter(LONGEST_PACKET_SECONDS)
        self._span: Span[Window] | None = None
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

    def far_curve(self, path: str, tracks: Iterable[int] = (0,)) -> Curve | None:
        """Return the curve of a flushed stream over twice the search range, of the whole picture or of some faces; None
        where `looks_far` or the path is off."""
        source = self._stream if path == WHOLE else self._faces
        return None if source is None or source.far_look is None else source.far_look.curve(tracks)

    @property
    def num_ignored_frames(self) -> int:
        """Frames ignored because their timestamp did not advance or was an isolated outlier."""
        return self._stream.video.num_ignored + self._video_filter.num_dropped

    @property
    def hop_resolution_ms(self) -> float:
        """Smallest resolvable offset with hops longer than the calibration used; 0 with its own."""
        return self.grid.hop_ms / 2 if self.grid.hop_ms > self.bundle.manifest.sync.hop_ms else 0.0

    def resolution_floor_ms(self, mean_stride: float) -> float:
        """Smallest resolvable offset with fewer frames or longer hops than the calibration used.

        The error of a mean over every `mean_stride`-th frame grows with the root of `mean_stride`; with a longer hop,
        the peak may lie anywhere between two lags.
        """
        sync, calibration = self.bundle.manifest.sync, self.bundle.manifest.calibration
        rarer = mean_stride * sync.frame_rate_hz / self.grid.frame_rate_hz
        resolution_ms = 0.0 if calibration is None else calibration.resolution_ms
        return max(self.hop_resolution_ms, resolution_ms * math.sqrt(max(1.0, rarer)))

    def push_video(self, frame: NDArray[np.uint8], *, pts_seconds: float) -> list[SyncScore]:
        """Add one frame, RGB (H, W, 3) uint8, shown from `pts_seconds` on; return the decisions now due.

        Raises:
            MediaError: a frame of another shape or type, or a timestamp that is not finite; the scorer stays usable.
        """
        self._check_open()
        check_frame(frame)
        seconds = checked_seconds(pts_seconds)
        for due_seconds, accepted in self._video_filter.push(seconds, 0.0, frame):
            self._push_frame(accepted, due_seconds)
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
        for start_seconds, mono in self._input.push(samples, checked_seconds(pts_seconds), sample_rate_hz):
            self._push_mono(start_seconds, mono)
        return self._decide()

    def flush(self) -> list[SyncScore]:
        """End the stream; return the remaining decisions. A stream shorter than one window gives one decision."""
        if self._finished:
            return []
        for start_seconds, mono in self._input.flush():
            self._push_mono(start_seconds, mono)
        for start_seconds, mono in self._audio_filter.flush():
            self._place_audio(start_seconds, mono)
        for pts_seconds, frame in self._video_filter.flush():
            self._push_frame(frame, pts_seconds)
        self._stream.finish()
        if self._faces is not None:
            self._faces.finish()
        decisions = self._decide()
        if self._span is not None:
            video = self._stream.video
            self._end_span(self._span, last_epoch=video.clock.epoch, last_seconds=video.last_seconds)
        self._finished = True
        decisions += self._windows.settled()
        self._windows.finish()
        return decisions

    def _demand_seconds(self) -> float:
        """How long after its audio a frame may be compared: until its last window is over and so is the wait for the
        faces in that."""
        assert self.bundle.faces is not None
        spec = self.bundle.faces.spec
        return self.window_seconds + 2 * self.options.batch_seconds + spec.num_frames / spec.frame_rate_hz

    def _new_face_path(self) -> tuple[FacePath, FaceJudge]:
        engines = self.bundle.faces
        assert engines is not None, "paths_for names FACE only where the bundle has a face path"
        judge = FaceJudge(engines.spec, self.bundle.manifest, self.profile, self.lags_ms, self.hop_resolution_ms)
        path = FacePath(
            self.bundle,
            engines,
            self.grid,
            self._stream.video,
            max_lead_seconds=self.options.lead_seconds,
            group_seconds=self.options.batch_seconds,
            on_faces=self._on_faces,
            on_row=self._on_face_row,
            looks_far=self._looks_far,
        )
        return path, judge

    def _push_frame(self, frame: NDArray[np.uint8], pts_seconds: float) -> None:
        if self._stream.video.push(frame, pts_seconds) and self._faces is not None:
            self._faces.push(frame, pts_seconds)

    def _push_mono(self, start_seconds: float, mono: NDArray[np.float32]) -> None:
        for due_seconds, samples in self._audio_filter.push(start_seconds, len(mono) / SAMPLE_RATE_HZ, mono):
            self._place_audio(due_seconds, samples)

    def _place_audio(self, start_seconds: float, samples: NDArray[np.float32]) -> None:
        self._stream.audio.push(samples, start_seconds)
        if self._faces is not None:
            self._faces.audio.push(samples, start_seconds)

    def _decide(self) -> list[SyncScore]:
        for row in self._stream.complete_rows():
            if self._span is not None and not self._span.continues_with(row):
                self._end_span(self._span)
                self._span = None
            if self._span is None:
                self._span = Span(self.grid, self._judge_window, row)
            self._windows.add(self._span.add(row))
            self._windows.add_row(row)
        return self._windows.settled()

    def _end_span(self, span: Span[Window], *, last_epoch: int = -1, last_seconds: float = -math.inf) -> None:
        self._windows.add(span.finish(last_epoch=last_epoch, last_seconds=last_seconds))
        # For the verdict on all rows of a file.
        self._stream.compare(span.rest)

    def _judge_window(self, rows: list[Row], end_seconds: float, window_seconds: float) -> Window:
        assert self._span is not None
        window = Window(rows, end_seconds, window_seconds, self._span.epoch)
        if self._is_on_demand:
            return window
        score = self._judge_whole(window)
        self._search.note(score)
        if WHOLE not in self.paths:
            reason = lack_of_input(len(rows), evidence_of(rows)) or NO_FACE
            score = replace(score, path=FACE, reason=reason, offset_resolution_ms=None)
        return replace(window, score=score)

    def _judge_whole(self, window: Window) -> SyncScore:
        """The decision about those rows of a window that were compared."""
        rows = [row for row in window.rows if row.is_compared]
        similarity = np.array([row.similarity for row in rows]).reshape(len(rows), len(self.lags_ms))
        return judge(
            curve_of_rows(self.lags_ms, similarity),
            evidence_of(window.rows),
            self.bundle.manifest.calibration,
            self.profile,
            time_seconds=window.end_seconds,
            window_seconds=window.window_seconds,
            resolution_floor_ms=self.resolution_floor_ms(float(np.mean([row.stride for row in rows] or [1]))),
        )

    def _check_open(self) -> None:
        if self._finished:
            raise MediaError("the stream was flushed and accepts no more input: call reset() to begin a new one")
