"""The streaming scorer: pictures and sound in, in any pieces and any order of the two; decisions out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.bundle import Bundle
from cavsync.deploy.confidence import Evidence, judge
from cavsync.deploy.curve import curve_of_rows
from cavsync.deploy.default_bundle import default_bundle
from cavsync.deploy.engines import ONNX_RUNTIME
from cavsync.deploy.input_audio import AudioInput
from cavsync.deploy.profiles import DEFAULT_PROFILE, Profile, resolve_profile
from cavsync.deploy.records import SyncScore
from cavsync.deploy.rows import Row, RowStream
from cavsync.errors import ConfigError, MediaError

MAX_OFFSET_MS = 60_000.0
# The end of a window is met by the picture's timestamp, which containers round to a millisecond.
TIME_TOLERANCE_SECONDS = 1e-3


class SyncScorer:
    """Scores one stream. Decisions come every `decision_step_seconds` once the first window is full.

    Results do not depend on how the stream was cut into pieces. Memory: one window of rows, the pictures and samples of
    a fraction of a second, and one embedding per instant of the stream that runs ahead (see `RowStream`). Not safe for
    several threads; several scorers may share one opened bundle.

    Args:
        bundle: an opened bundle.
        window_seconds: length of a decision's window; the bundle's own by default.
        max_offset_ms: half the search range; the bundle's own by default.
        profile: name of the limits, see `profiles`.
        early_ms, late_ms: limits of the profile `custom`.
        on_row: called with each row of similarities, in order.

    Raises:
        ConfigError: a window, range or profile that cannot be used.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        window_seconds: float | None = None,
        max_offset_ms: float | None = None,
        profile: str | Profile = DEFAULT_PROFILE,
        early_ms: float | None = None,
        late_ms: float | None = None,
        on_row: Callable[[Row], None] | None = None,
    ) -> None:
        sync = bundle.manifest.sync
        self.bundle = bundle
        self.profile = profile if isinstance(profile, Profile) else resolve_profile(profile, early_ms, late_ms)
        self.window_seconds = sync.window_seconds if window_seconds is None else float(window_seconds)
        self.max_offset_ms = sync.max_offset_ms if max_offset_ms is None else float(max_offset_ms)
        if not 0 < self.window_seconds <= 3600:
            raise ConfigError(f"the window is {window_seconds} s long: give more than 0 and at most 3600 seconds")
        if not 2 * sync.hop_ms <= self.max_offset_ms <= MAX_OFFSET_MS:
            raise ConfigError(
                f"the search range is ±{max_offset_ms} ms: give {2 * sync.hop_ms:.0f} to {MAX_OFFSET_MS:.0f} ms"
            )
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
        **options: Any,
    ) -> SyncScorer:
        """Open the bundle folder `path`, or the one that comes with the package, and make a scorer of it.

        `engine` says what computes the encoders (see `choose_engines`); `options` are those of the class.

        Raises:
            BundleError: missing, changed or inconsistent bundle.
            ConfigError: an engine, provider or option that cannot be used.
        """
        return cls(
            Bundle.open(
                default_bundle() if path is None else path, engine=engine, providers=providers, threads=threads
            ),
            **options,
        )

    def reset(self) -> None:
        """Forget the stream; the next push starts a new one."""
        self._stream = RowStream(self.bundle, self.max_offset_ms)
        self._input = AudioInput()
        self._rows: deque[Row] = deque()
        self._num_decisions = 0
        self._finished = False

    @property
    def lags_ms(self) -> NDArray[np.float64]:
        """The grid of lags of every row and curve."""
        return self._stream.lags_ms

    @property
    def video_span_seconds(self) -> tuple[float, float] | None:
        """Start of the first picture and end of the last one so far; None before the first."""
        video = self._stream.video
        if video.first_seconds is None:
            return None
        period = video.period_seconds if math.isfinite(video.period_seconds) else 0.0
        return video.first_seconds, video.last_seconds + period

    @property
    def num_ignored_frames(self) -> int:
        """Pictures that were ignored because their timestamp did not advance."""
        return self._stream.video.num_ignored

    def push_video(self, frame: NDArray[np.uint8], *, pts_seconds: float) -> list[SyncScore]:
        """Add one picture, RGB (H, W, 3) uint8 shown from `pts_seconds` on; returns the decisions that are due.

        Raises:
            MediaError: not such a picture, or a timestamp that is not finite or jumps; the scorer stays usable.
        """
        self._check_open()
        _check_frame(frame)
        self._stream.video.push(frame, _checked_pts(pts_seconds))
        return self._decide()

    def push_audio(
        self,
        samples: NDArray[np.float32] | NDArray[np.int16],
        *,
        pts_seconds: float,
        sample_rate_hz: int = 16_000,
    ) -> list[SyncScore]:
        """Add sound, float32 in [-1, 1] or int16, (n,) or (n, channels), the first of it heard at `pts_seconds`.

        Raises:
            MediaError: not such sound, values or timestamp that are not finite; the scorer stays usable.
        """
        self._check_open()
        for start_seconds, mono in self._input.push(samples, _checked_pts(pts_seconds), sample_rate_hz):
            self._stream.audio.push(mono, start_seconds)
        return self._decide()

    def flush(self) -> list[SyncScore]:
        """End the stream; returns the decisions that are left. A stream shorter than one window gives one decision."""
        if self._finished:
            return []
        for start_seconds, mono in self._input.flush():
            self._stream.audio.push(mono, start_seconds)
        self._stream.finish()
        decisions = self._decide()
        span = self.video_span_seconds
        self._finished = True
        if span is None:
            return decisions
        # Half a frame of grace: the period of the last picture is an estimate.
        half_period = (span[1] - self._stream.video.last_seconds) / 2
        while (end_seconds := self._next_end_seconds(span[0])) <= span[1] + max(half_period, TIME_TOLERANCE_SECONDS):
            decisions.append(self._decision(end_seconds))
        if self._num_decisions == 0:
            decisions.append(self._judge_window(list(self._rows), span[1], span[1] - span[0]))
        return decisions

    def _decide(self) -> list[SyncScore]:
        decisions: list[SyncScore] = []
        first_seconds = self._stream.video.first_seconds
        for row in self._stream.complete_rows():
            assert first_seconds is not None
            while row.time_seconds >= (end_seconds := self._next_end_seconds(first_seconds)) - TIME_TOLERANCE_SECONDS:
                decisions.append(self._decision(end_seconds))
            self._rows.append(row)
            if self._on_row is not None:
                self._on_row(row)
        return decisions

    def _next_end_seconds(self, first_seconds: float) -> float:
        step_seconds = self.bundle.manifest.sync.decision_step_seconds
        return first_seconds + self.window_seconds + self._num_decisions * step_seconds

    def _decision(self, end_seconds: float) -> SyncScore:
        start_seconds = end_seconds - self.window_seconds - TIME_TOLERANCE_SECONDS
        while self._rows and self._rows[0].time_seconds < start_seconds:
            self._rows.popleft()
        self._num_decisions += 1
        inside = [row for row in self._rows if row.time_seconds < end_seconds - TIME_TOLERANCE_SECONDS]
        return self._judge_window(inside, end_seconds, self.window_seconds)

    def _judge_window(self, rows: list[Row], end_seconds: float, window_seconds: float) -> SyncScore:
        similarity = np.array([row.similarity for row in rows]).reshape(len(rows), len(self.lags_ms))
        return judge(
            curve_of_rows(self.lags_ms, similarity),
            evidence_of(rows),
            self.bundle.manifest.calibration,
            self.profile,
            time_seconds=end_seconds,
            window_seconds=window_seconds,
        )

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
    is_picture = isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
    if not is_picture or 0 in frame.shape:
        found = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise MediaError(f"a frame is {found}: push RGB pictures as uint8 arrays of shape (height, width, 3)")


def _checked_pts(pts_seconds: Any) -> float:
    try:
        seconds = float(pts_seconds)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    # Beyond 2^40 seconds a float no longer tells samples apart.
    if not abs(seconds) < 2.0**40:
        raise MediaError(f"the timestamp is {pts_seconds!r}: give seconds as a finite number")
    return seconds
