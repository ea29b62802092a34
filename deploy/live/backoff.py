"""Exponential back-off with jitter between retries."""

from __future__ import annotations

import random
from collections.abc import Callable

from cavsync.errors import ConfigError


class Backoff:
    """Waits between consecutive failures: at most `first_seconds`, doubled each time up to `longest_seconds`.

    Each wait is drawn uniformly between half of that maximum and all of it, so that the clients of one server do not
    return at the same moment. `tries` counts the failures since the last reset.

    Args:
        first_seconds: maximum of the first wait.
        longest_seconds: maximum of every wait.
        draw: source of random numbers in [0, 1), for tests.

    Raises:
        ConfigError: not 0 < first_seconds <= longest_seconds.
    """

    def __init__(
        self,
        first_seconds: float = 0.5,
        longest_seconds: float = 30.0,
        draw: Callable[[], float] = random.random,
    ) -> None:
        if not 0 < first_seconds <= longest_seconds:
            raise ConfigError(
                f"the first wait is {first_seconds} s and the longest {longest_seconds} s: give 0 < first <= longest"
            )
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._draw = draw
        self.tries = 0

    def next_seconds(self) -> float:
        """Count one more failure and return the wait after it."""
        # More than 64 doublings could overflow a float.
        full_seconds = min(self._longest_seconds, self._first_seconds * 2.0 ** min(self.tries, 64))
        self.tries += 1
        return full_seconds * (0.5 + 0.5 * self._draw())

    def reset(self) -> None:
        """Restart from the first wait after a success."""
        self.tries = 0
