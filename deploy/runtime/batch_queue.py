"""Gather requests of several callers into batches."""

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

# A batch does not wait for callers whose last request is older than this; no deadline is longer.
ACTIVE_SECONDS = 1.0
CLOSED = "the engine pool is closed and computes nothing more: open another one"


@dataclass(eq=False)
class Request:
    """The inputs `values` (B, ...) of one caller, which blocks until `result` is set."""

    engine: Engine
    values: NDArray[Any]
    output: str
    result: Future[NDArray[np.float32]] = field(default_factory=Future)
    due_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.count = len(self.values)

    def joins(self, other: Request) -> bool:
        """Whether one call of the engine can compute both."""
        return (
            self.engine is other.engine
            and self.output == other.output
            and self.values.dtype == other.values.dtype
            and self.values.shape[1:] == other.values.shape[1:]
        )


class BatchQueue:
    """Requests in order of arrival, taken as batches of at most `max_batch` inputs.

    The oldest request leads a batch; requests that can join it follow in order. A batch is due when it is full, when
    its leader has waited for `deadline_seconds`, or when every caller of the last `ACTIVE_SECONDS` is blocked already
    (a lone stream always is), so that no further request can arrive. A request of more than `max_batch` inputs is a
    batch of its own and never split.

    Callers block, so each has at most one request: the queue is never longer than the number of callers
    (back-pressure), and between two turns of one caller every other waiting caller has its turn (fairness).
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
        """Add a request for the calling thread.

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
        """Remove a request whose caller stopped waiting; does nothing if it was already taken."""
        with self._changed:
            if request in self._waiting:
                self._waiting.remove(request)
                self._changed.notify_all()

    def take(self) -> list[Request] | None:
        """Wait for the next batch; None once the queue is closed. Call `done` when its results are ready."""
        with self._changed:
            while not self._is_closed:
                if not self._waiting:
                    self._changed.wait()
                    continue
                batch, is_full = self._first_batch()
                left_seconds = batch[0].due_seconds - monotonic()
                if is_full or left_seconds <= 0 or self._all_are_waiting():
                    taken = set(batch)
                    self._waiting = deque(request for request in self._waiting if request not in taken)
                    self._num_computing += len(batch)
                    return batch
                self._changed.wait(left_seconds)
        return None

    def done(self, batch: Sequence[Request]) -> None:
        """Note that the callers of a batch are about to continue."""
        with self._changed:
            self._num_computing -= len(batch)

    def close(self) -> list[Request]:
        """Stop taking requests; returns those that will not be computed."""
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
