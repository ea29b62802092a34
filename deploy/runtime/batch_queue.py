"""Requests of several callers gathered into batches: when a batch is due, and who is in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cavsync.errors import ConfigError

if TYPE_CHECKING:
    from cavsync.deploy.runtime.engines import Engine

# A caller that asked for nothing in so long is not waited for; no deadline is longer.
ACTIVE_SECONDS = 1.0
CLOSED = "the engine pool is closed, it computes nothing more: open another one"


@dataclass(eq=False)
class Request:
    """The inputs `values` (B, ...) of one caller, who waits for `result`."""

    engine: Engine
    values: NDArray[Any]
    output: str
    result: Future[NDArray[np.float32]] = field(default_factory=Future)
    due_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.count = len(self.values)

    def joins(self, other: Request) -> bool:
        """Whether both can be one call of the engine."""
        return (
            self.engine is other.engine
            and self.output == other.output
            and self.values.dtype == other.values.dtype
            and self.values.shape[1:] == other.values.shape[1:]
        )


class BatchQueue:
    """Requests in the order of their arrival, taken as batches of at most `max_batch` inputs.

    The oldest request leads a batch and those that can join it follow in their order. It is due as soon as it is full,
    its leader has waited for `deadline_seconds`, or nobody is left to wait for: every caller of the last
    `ACTIVE_SECONDS` is blocked already, as a lone stream is with its first request. A request of more than `max_batch`
    inputs is a batch by itself, never cut.

    Callers block, so each has one request at most: the queue is no longer than there are callers (back-pressure), and
    between two turns of one of them every other that waits has its own (fairness).
    """

    def __init__(self, max_batch: int, deadline_seconds: float) -> None:
        self._max_batch = max_batch
        self._deadline_seconds = deadline_seconds
        self._waiting: deque[Request] = deque()
        self._num_computing = 0
        self._callers: dict[int, float] = {}
        self._is_closed = False
        self._changed = Condition()

    def put(self, request: Request) -> None:
        """Add a request of the calling thread.

        Raises:
            ConfigError: the queue is closed.
        """
        with self._changed:
            if self._is_closed:
                raise ConfigError(CLOSED)
            now = monotonic()
            request.due_seconds = now + self._deadline_seconds
            self._callers[get_ident()] = now
            self._waiting.append(request)
            self._changed.notify_all()

    def withdraw(self, request: Request) -> None:
        """Forget a request whose caller no longer waits; nothing where it was taken already."""
        with self._changed:
            if request in self._waiting:
                self._waiting.remove(request)
                self._changed.notify_all()

    def take(self) -> list[Request] | None:
        """Wait for the next batch; None once the queue is closed. Say `done` when its callers have their results."""
        with self._changed:
            while not self._is_closed:
                if not self._waiting:
                    self._changed.wait()
                    continue
                batch, is_full = self._first_batch()
                left_seconds = batch[0].due_seconds - monotonic()
                if is_full or left_seconds <= 0 or self._all_are_waiting():
                    self._waiting = deque(request for request in self._waiting if request not in batch)
                    self._num_computing += len(batch)
                    return batch
                self._changed.wait(left_seconds)
        return None

    def done(self, batch: Sequence[Request]) -> None:
        """The callers of a batch are about to go on."""
        with self._changed:
            self._num_computing -= len(batch)

    def close(self) -> list[Request]:
        """Take nothing more; returns the requests that nobody will compute."""
        with self._changed:
            self._is_closed = True
            left = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        return left

    def _first_batch(self) -> tuple[list[Request], bool]:
        leader = self._waiting[0]
        batch, count = [leader], leader.count
        for request in list(self._waiting)[1:]:
            if not request.joins(leader):
                continue
            if count + request.count > self._max_batch:
                return batch, True
            batch.append(request)
            count += request.count
        return batch, count >= self._max_batch

    def _all_are_waiting(self) -> bool:
        oldest = monotonic() - ACTIVE_SECONDS
        self._callers = {caller: seen for caller, seen in self._callers.items() if seen >= oldest}
        return len(self._waiting) + self._num_computing >= len(self._callers)
