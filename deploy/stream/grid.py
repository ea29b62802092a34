"""The grid on which a stream is scored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cavsync.deploy.verdict.curve import FloatArray, lag_grid_ms
from cavsync.errors import ConfigError
from cavsync.manifest import SyncSpec
from cavsync.manifest.specs import HOP_UNIT_MS, SYNC_RULES


@dataclass(frozen=True)
class Grid(SyncSpec):
    """A bundle's grid, with a stream's options in place of some of its numbers.

    Raises:
        ConfigError: a window with too many frames, or a search range of fewer than two hops.
    """

    def __post_init__(self) -> None:
        for rule in SYNC_RULES:
            if not rule.holds(self):
                raise ConfigError(
                    f"the options and the bundle give a grid of {self.frame_rate_hz:g} frames per second, hops of "
                    f"{self.hop_ms:g} ms, a range of ±{self.max_offset_ms:g} ms and windows of "
                    f"{self.window_seconds:g} s, which {rule.expected}: give other numbers"
                )

    @property
    def hop_frames(self) -> int:
        """Log-mel frames between two instants of the audio."""
        return round(self.hop_ms / HOP_UNIT_MS)

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
