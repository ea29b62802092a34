"""The grid a stream is scored on: what the bundle was made for, or what its user can afford."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cavsync.deploy.verdict.curve import FloatArray, lag_grid_ms
from cavsync.errors import ConfigError
from cavsync.manifest import (
    HOP_UNIT_MS,
    MAX_FRAME_RATE_HZ,
    MAX_OFFSET_MS,
    MAX_WINDOW_INSTANTS,
    MAX_WINDOW_SECONDS,
    SyncSpec,
    is_whole_hop,
)


@dataclass(frozen=True)
class Grid:
    """Frames per second, step and reach of the lags, window of a decision and the time from one to the next."""

    frame_rate_hz: float
    hop_ms: float
    max_offset_ms: float
    window_seconds: float
    decision_step_seconds: float

    @property
    def hop_frames(self) -> int:
        """Log-mel frames between two instants of the sound."""
        return round(self.hop_ms / HOP_UNIT_MS)

    @property
    def hop_seconds(self) -> float:
        """Time between two instants of the sound."""
        return self.hop_ms / 1000

    # Asked for with every row: made once, and so not to be written to.
    @cached_property
    def lags_ms(self) -> FloatArray:
        """The lags, ascending; read-only."""
        lags_ms = lag_grid_ms(self.max_offset_ms, self.hop_ms)
        lags_ms.setflags(write=False)
        return lags_ms

    @property
    def reach(self) -> int:
        """Lags to either side of zero."""
        return len(self.lags_ms) // 2


def choose_grid(
    sync: SyncSpec,
    *,
    frame_rate_hz: float | None = None,
    hop_ms: float | None = None,
    max_offset_ms: float | None = None,
    window_seconds: float | None = None,
) -> Grid:
    """The bundle's grid with what was asked for in its place.

    Raises:
        ConfigError: a number that no stream can be scored with.
    """
    grid = Grid(
        frame_rate_hz=sync.frame_rate_hz if frame_rate_hz is None else float(frame_rate_hz),
        hop_ms=sync.hop_ms if hop_ms is None else float(hop_ms),
        max_offset_ms=sync.max_offset_ms if max_offset_ms is None else float(max_offset_ms),
        window_seconds=sync.window_seconds if window_seconds is None else float(window_seconds),
        decision_step_seconds=sync.decision_step_seconds,
    )
    if not 0 < grid.window_seconds <= MAX_WINDOW_SECONDS:
        raise ConfigError(
            f"the window is {grid.window_seconds} s long: give more than 0 and at most {MAX_WINDOW_SECONDS:.0f} seconds"
        )
    if not 0 < grid.frame_rate_hz <= MAX_FRAME_RATE_HZ:
        raise ConfigError(
            f"{grid.frame_rate_hz} frames are taken per second: give more than 0 and at most {MAX_FRAME_RATE_HZ:.0f}"
        )
    if grid.frame_rate_hz * grid.window_seconds > MAX_WINDOW_INSTANTS:
        raise ConfigError(
            f"a window of {grid.window_seconds:g} s at {grid.frame_rate_hz:g} frames per second holds more than "
            f"{MAX_WINDOW_INSTANTS}: give a shorter window or a lower rate"
        )
    if not HOP_UNIT_MS <= grid.hop_ms <= MAX_OFFSET_MS or not is_whole_hop(grid.hop_ms):
        raise ConfigError(f"the hop is {grid.hop_ms} ms: give a multiple of {HOP_UNIT_MS:.0f} ms")
    if not 2 * grid.hop_ms <= grid.max_offset_ms <= MAX_OFFSET_MS:
        raise ConfigError(
            f"the search range is ±{grid.max_offset_ms} ms: give {2 * grid.hop_ms:.0f} to {MAX_OFFSET_MS:.0f} ms"
        )
    return grid
