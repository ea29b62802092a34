"""The grid on which a stream is scored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cavsync.deploy.verdict.curve import FloatArray, lag_grid_ms
from cavsync.errors import ConfigError
from cavsync.manifest import HOP_UNIT_MS, MAX_WINDOW_INSTANTS


@dataclass(frozen=True)
class Grid:
    """Frames per second, step and range of the lags, length of a decision's window and time between decisions.

    Raises:
        ConfigError: a window with too many frames, or a search range of fewer than two hops.
    """

    frame_rate_hz: float
    hop_ms: float
    max_offset_ms: float
    window_seconds: float
    decision_step_seconds: float

    def __post_init__(self) -> None:
        if self.frame_rate_hz * self.window_seconds > MAX_WINDOW_INSTANTS:
            raise ConfigError(
                f"a window of {self.window_seconds:g} s at {self.frame_rate_hz:g} frames per second holds more than "
                f"{MAX_WINDOW_INSTANTS} frames: give a shorter window or a lower rate"
            )
        if self.max_offset_ms < 2 * self.hop_ms:
            raise ConfigError(
                f"max_offset_ms is {self.max_offset_ms:g}, the hop {self.hop_ms:g} ms: "
                f"give a range of at least two hops, {2 * self.hop_ms:g} ms"
            )

    @property
    def hop_frames(self) -> int:
        """Log-mel frames between two instants of the audio."""
        return round(self.hop_ms / HOP_UNIT_MS)

    @property
    def hop_seconds(self) -> float:
        """Time between two instants of the audio."""
        return self.hop_ms / 1000

    # Every row needs it, so it is computed once, and must be read-only.
    @cached_property
    def lags_ms(self) -> FloatArray:
        """The lags in ms, ascending; read-only."""
        lags_ms = lag_grid_ms(self.max_offset_ms, self.hop_ms)
        lags_ms.setflags(write=False)
        return lags_ms

    @property
    def reach(self) -> int:
        """Number of lags on either side of zero."""
        return len(self.lags_ms) // 2
