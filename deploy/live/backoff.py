"""How long to wait before the next try: twice as long each time, and never at the same moment as everybody else."""

from __future__ import annotations

import random
from collections.abc import Callable

from cavsync.errors import ConfigError


class Backoff:
    """Waiting times of consecutive failures: `first_seconds`, doubled each time up to `longest_seconds`.

    Each is drawn between half of it and all of it, so that many clients of one server do not return together.

    Args:
        first_seconds: the longest that the first wait may be.
        longest_seconds: the longest of all.
        draw: random number in [0, 1), for tests.

    Raises:
        ConfigError: times that are not positive or contradict each other.
    """

    def __init__(
        self,
        first_seconds: float = 0.5,
        longest_seconds: float = 30.0,
        draw: Callable[[], float] = random.random,
    ) -> None:
        if not 0 < first_seconds <= longest_seconds:
            raise ConfigError(
                f"waits begin at {first_seconds} s and end at {longest_seconds} s: give 0 < first <= longest"
            )
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._draw = draw
        self.tries = 0

    def next_seconds(self) -> float:
        """The wait after one more failure."""
        # Past 64 doublings the product would leave the range of floats.
        full_seconds = min(self._longest_seconds, self._first_seconds * 2.0 ** min(self.tries, 64))
        self.tries += 1
        return full_seconds * (0.5 + 0.5 * self._draw())

    def reset(self) -> None:
        """It worked: the next failure is a first one again."""
        self.tries = 0
