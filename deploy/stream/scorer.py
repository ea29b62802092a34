"""The streaming scorer: frames and audio in, in any pieces and any order of the two; decisions out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.deploy.runtime.engines import ONNX_RUNTIME
from cavsync.deploy.stream.audio_input import AudioInput
from cavsync.deploy.stream.grid import choose_grid
from cavsync.deploy.stream.rows import Row, RowStream, instants_per_group
from cavsync.deploy.stream.search import Search
from cavsync.deploy.stream.span import Span
from cavsync.deploy.stream.stray import StrayFilter
from cavsync.deploy.verdict.confidence import Evidence, judge
from cavsync.deploy.verdict.curve import curve_of_rows
from cavsync.deploy.verdict.profiles import DEFAULT_PROFILE, Profile, resolve_profile
from cavsync.deploy.verdict.records import SyncScore
from cavsync.errors import ConfigError, MediaError
from cavsync.manifest import MAX_WINDOW_SECONDS
from cavsync.media.align import SAMPLE_RATE_HZ

MAX_LEAD_SECONDS = 30.0
GROUP_SECONDS = 0.64


class SyncScorer:
    """Scores one stream. Decisions come every `decision_step_seconds` once the first window is full.

    Results do not depend on how the stream was cut into pieces, nor on which of video and audio was pushed first, as
    long as neither is more than `max_lead_seconds` ahead of the other. Timestamps may have holes, jump ahead, and be
    set back (a wrap, a sender that starts again): after a hole of more than 10 s and after a clock that was set back by
    more than 1 s, windows begin anew; where only one of the two was set back, decisions say that there is no sound. A
    single piece with a timestamp out of line is dropped. Memory is bounded. Not safe for several threads; several
    scorers may share one opened bundle.

    Args:
        bundle: an opened bundle.
        window_seconds: length of a decision's window.
        max_offset_ms: half the search range.
        frame_rate_hz: frames looked at per second, at most.
        hop_ms: step of the lags, a multiple of 10 ms. These four are the bundle's own by default; fewer frames and
            longer hops cost less and see less.
        adaptive: begin with a coarse look, then track the peak, and widen where confidence drops (see `Search`).
        profile: name of the limits, see `profiles`.
        early_ms, late_ms: limits of the profile `custom`.
        max_lead_seconds: how long a frame waits for its audio, in time of the stream; audio waits as long.
        group_seconds: frames of this much time are embedded together: less is sooner, more is cheaper.
        on_row: called with each row of similarities, in order.

    Raises:
        ConfigError: a grid, profile or limit that cannot be used.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        window_seconds: float | None = None,
        max_offset_ms: float | None = None,
        frame_rate_hz: float | None = None,
        hop_ms: float | None = None,
        adaptive: bool = False,
        profile: str | Profile = DEFAULT_PROFILE,
        early_ms: float | None = None,
        late_ms: float | None = None,
        max_lead_seconds: float = MAX_LEAD_SECONDS,
        group_seconds: float = GROUP_SECONDS,
        on_row: Callable[[Row], None] | None = None,
    ) -> None:
        self.bundle = bundle
        self.profile = profile if isinstance(profile, Profile) else resolve_profile(profile, early_ms, late_ms)
        self.grid = choose_grid(
            bundle.manifest.sync,
            frame_rate_hz=frame_rate_hz,
            hop_ms=hop_ms,
            max_offset_ms=max_offset_ms,
            window_seconds=window_seconds,
        )
        for name, seconds in (("max_lead_seconds", max_lead_seconds), ("group_seconds", group_seconds)):
            if not 0 < seconds <= MAX_WINDOW_SECONDS:
                raise ConfigError(f"{name} is {seconds}: give more than 0 and at most {MAX_WINDOW_SECONDS:.0f} seconds")
        self._is_adaptive = adaptive
        self._max_lead_seconds = max_lead_seconds
        self._group_seconds = group_seconds
        self._on_row = on_row
        self.reset()

    @classmethod
    def from_bundle(
        cls,
        path: Path | str | None = None,
        *,
        engine: str = ONNX_RUNTIME,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        cores: Sequence[int] | None = None,
        **options: Any,
    ) -> SyncScorer:
        """Open the bundle folder `path`, or the one that comes with the package, and make a scorer of it.

        `engine`, `providers`, `threads` and `cores` say what computes the encoders (see `Bundle.open`); `options` are
        those of the class.

        Raises:
            BundleError: missing, changed or inconsistent bundle.
            ConfigError: an engine, provider or option that cannot be used.
        """
        return cls(
            Bundle.open(
                default_bundle() if path is None else path,
                engine=engine,
                providers=providers,
                threads=threads,
                cores=cores,
            ),
            **options,
        )

    def reset(self) -> None:
        """Forget the stream; the next push starts a new one."""
        group_instants = instants_per_group(self.grid, self._group_seconds)
        self._search = Search(self.grid, is_adaptive=self._is_adaptive, group_instants=group_instants)
        self._stream = RowStream(
            self.bundle, self.grid, self._search, max_lead_seconds=self._max_lead_seconds, group_instants=group_instants
        )
        self._input = AudioInput()
        self._video_filter: StrayFilter[NDArray[np.uint8]] = StrayFilter()
        self._audio_filter: StrayFilter[NDArray[np.float32]] = StrayFilter()
        self._run: Span | None = None
        self._finished = False

    @property
    def window_seconds(self) -> float:
        """Length of a decision's window."""
        return self.grid.window_seconds

    @property
    def max_offset_ms(self) -> float:
        """Half the search range."""
        return self.grid.max_offset_ms

    @property
    def lags_ms(self) -> NDArray[np.float64]:
        """The grid of lags of every row and curve."""
        return self.grid.lags_ms

    @property
    def video_span_seconds(self) -> tuple[float, float] | None:
        """Start of the first frame and end of the last one so far; None before the first.

        Where the clock was set back, the end is where it would be had it gone on.
        """
        video = self._stream.video
        if video.first_seconds is None:
            return None
        period = video.period_seconds if math.isfinite(video.period_seconds) else 0.0
        return video.first_seconds, video.progress_seconds + period

    @property
    def num_ignored_frames(self) -> int:
        """Frames that were ignored because their timestamp did not advance, or lay apart from all others."""
        return self._stream.video.num_ignored + self._video_filter.num_dropped

    def resolution_floor_ms(self, mean_stride: float) -> float:
        """What is resolved with fewer frames or longer hops than the calibration had.

        The error of a mean grows with the root of what it lacks, here one of `mean_stride` frames is there; between
        two lags of a longer hop the peak may lie anywhere.
        """
        sync, calibration = self.bundle.manifest.sync, self.bundle.manifest.calibration
        hop_ms = self.grid.hop_ms if self.grid.hop_ms > sync.hop_ms else 0.0
        rarer = mean_stride * sync.frame_rate_hz / self.grid.frame_rate_hz
        resolution_ms = 0.0 if calibration is None else calibration.resolution_ms
        return max(hop_ms / 2, resolution_ms * math.sqrt(max(1.0, rarer)))

    def push_video(self, frame: NDArray[np.uint8], *, pts_seconds: float) -> list[SyncScore]:
        """Add one frame, RGB (H, W, 3) uint8 shown from `pts_seconds` on; returns the decisions that are due.

        Raises:
            MediaError: not such a frame, or a timestamp that is not finite; the scorer stays usable.
        """
        self._check_open()
        _check_frame(frame)
        seconds = _checked_pts(pts_seconds)
        for due_seconds, image in self._video_filter.push(seconds, 0.0, frame):
            self._stream.video.push(image, due_seconds)
        return self._decide()

    def push_audio(
        self,
        samples: NDArray[np.float32] | NDArray[np.int16],
        *,
        pts_seconds: float,
        sample_rate_hz: int = 16_000,
    ) -> list[SyncScore]:
        """Add audio, float32 in [-1, 1] or int16, (n,) or (n, channels), the first of it heard at `pts_seconds`.

        Raises:
            MediaError: not such audio, values or timestamp that are not finite, or a rate that the timestamps
                contradict; the scorer stays usable.
        """
        self._check_open()
        for start_seconds, mono in self._input.push(samples, _checked_pts(pts_seconds), sample_rate_hz):
            self._push_mono(start_seconds, mono)
        return self._decide()

    def flush(self) -> list[SyncScore]:
        """End the stream; returns the decisions that are left. A stream shorter than one window gives one decision."""
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
        if self._run is not None:
            video = self._stream.video
            decisions += self._run.finish(last_epoch=video.clock.epoch, last_seconds=video.last_seconds)
        self._finished = True
        return decisions

    def _push_mono(self, start_seconds: float, mono: NDArray[np.float32]) -> None:
        for due_seconds, samples in self._audio_filter.push(start_seconds, len(mono) / SAMPLE_RATE_HZ, mono):
            self._stream.audio.push(samples, due_seconds)

    def _decide(self) -> list[SyncScore]:
        decisions: list[SyncScore] = []
        for row in self._stream.complete_rows():
            if self._run is not None and not self._run.continues_with(row):
                decisions += self._run.finish()
                self._run = None
            if self._run is None:
                self._run = Span(self.grid, self._judge_window, row)
            decisions += self._run.add(row)
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
            raise MediaError("the stream was flushed, it takes nothing more: call reset() to begin a new one")


def evidence_of(rows: list[Row]) -> Evidence:
    """Motion, level and frame period of the rows as arrays."""
    return Evidence(
        motion=np.array([row.motion for row in rows], dtype=np.float64),
        level_dbfs=np.array([row.level_dbfs for row in rows], dtype=np.float64),
        period_seconds=np.array([row.period_seconds for row in rows], dtype=np.float64),
    )


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
    # Beyond 2^40 seconds a float no longer tells samples apart.
    if not abs(seconds) < 2.0**40:
        raise MediaError(f"the timestamp is {pts_seconds!r}: give seconds as a finite number")
    return seconds
