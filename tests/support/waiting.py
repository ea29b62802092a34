"""Waiting in tests. The bound only ends a broken test: it lies far beyond what a busy machine needs."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 600.0


def wait_until(condition: Callable[[], object], *, or_else: Callable[[], str] = lambda: "") -> None:
    """Return once `condition` holds; fail with the text of `or_else` if it never does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, or_else()
        time.sleep(0.02)
