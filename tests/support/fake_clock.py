"""A clock for tests: it stands in for the module `time` of the module under test and moves only when told."""

from __future__ import annotations

import time
from typing import Any


class FakeClock:
    """`time` with a monotonic clock that moves by `step_seconds` with every reading and by `advance`."""

    def __init__(self, now_seconds: float = 1000.0, *, step_seconds: float = 0.0) -> None:
        self.now_seconds = now_seconds
        self.step_seconds = step_seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.now_seconds += seconds

    def monotonic(self) -> float:
        """Return the time of this clock and move it by one step."""
        now_seconds = self.now_seconds
        self.now_seconds += self.step_seconds
        return now_seconds
