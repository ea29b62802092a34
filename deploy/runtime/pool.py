"""Share one set of engines among many streams: requests of about the same time are computed as one batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Thread
from time import perf_counter
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.batch_queue import ACTIVE_SECONDS, CLOSED, BatchQueue, Request
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.engines import Engine
from cavsync.errors import BundleError, ConfigError
from cavsync.manifest import FRAME_ENCODER

log = logging.getLogger(__name__)

OnBatch = Callable[[str, int, int, float], None]


class EnginePool:
    """Shares the encoders of an opened bundle among scorers in different threads.

    `pool.bundle` is that bundle with pooled encoders, for one `SyncScorer` per stream; a scorer blocks while it waits.
    Requests are gathered into batches of at most `max_batch` inputs (`BatchQueue`) and run by `workers` threads;
    results equal those of the bundle itself up to rounding. The front end takes one audio track at a time, and
    faces are found frame by frame: neither is pooled.

        with EnginePool(Bundle.open(path)) as pool:
            scorers = [SyncScorer(pool.bundle) for _ in streams]

    If a batch fails, its requests are computed one by one, so that an error reaches only the stream that caused it.

    Args:
        bundle: an opened bundle; its `threads` and `cores` apply to each batch.
        max_batch: most inputs per call of an engine.
        deadline_ms: how long a request waits for others while an engine is free, in milliseconds. It waits only if
            other streams were active within the last second; with 0, batches form only while an engine is busy.
        workers: batches computed at the same time.
        on_batch: called after each batch, in the thread that computed it, with the graph's name, the numbers of streams
            and inputs in it, and the seconds it took.

    Raises:
        ConfigError: a number out of range.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        max_batch: int = 64,
        deadline_ms: float = 2.0,
        workers: int = 1,
        on_batch: OnBatch | None = None,
    ) -> None:
        for name, number in (("max_batch", max_batch), ("workers", workers)):
            if number < 1:
                raise ConfigError(f"{name} is {number}: give 1 or more")
        if not 0 <= deadline_ms <= 1000 * ACTIVE_SECONDS:
            raise ConfigError(f"deadline_ms is {deadline_ms}: give 0 to {1000 * ACTIVE_SECONDS:.0f} milliseconds")
        self._queue = BatchQueue(max_batch, deadline_ms / 1000)
        self._names = {
            id(bundle.audio): "audio_encoder",
            id(bundle.visual): "visual_encoder",
            id(bundle.pairs): FRAME_ENCODER,
        }
        self._on_batch = on_batch
        self.bundle = replace(
            bundle,
            audio=_PooledEngine(bundle.audio, self._queue),
            visual=_PooledEngine(bundle.visual, self._queue),
            pairs=None if bundle.pairs is None else _PooledEngine(bundle.pairs, self._queue),
        )
        # Daemons, so that a pool that was not closed does not keep the process alive.
        self._workers = [Thread(target=self._work, name=f"engine-pool-{n}", daemon=True) for n in range(workers)]
        for worker in self._workers:
            worker.start()

    def close(self) -> None:
        """Finish the batches being computed; waiting and later requests get a ConfigError."""
        for request in self._queue.close():
            request.result.set_exception(ConfigError(CLOSED))
        for worker in self._workers:
            worker.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _work(self) -> None:
        while (batch := self._queue.take()) is not None:
            begin = perf_counter()
            outcomes = _computed(batch)
            seconds = perf_counter() - begin
            # Before the callers continue, because from then on they may send again.
            self._queue.done(batch)
            for request, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    request.result.set_exception(outcome)
                else:
                    request.result.set_result(outcome)
            self._tell(batch, seconds)

    def _tell(self, batch: Sequence[Request], seconds: float) -> None:
        if self._on_batch is None:
            return
        count = sum(request.count for request in batch)
        try:
            self._on_batch(self._names[id(batch[0].engine)], len(batch), count, seconds)
        except Exception:
            # An observer's error must not stop the streams.
            log.exception("the engine pool's on_batch failed")


class _PooledEngine:
    """The engine that a scorer is given: sends its inputs to the pool and waits."""

    def __init__(self, engine: Engine, queue: BatchQueue) -> None:
        self._engine = engine
        self._queue = queue

    def run(self, values: NDArray[Any], output: str) -> NDArray[np.float32]:
        """See `Engine.run`. Raises ConfigError once the pool is closed."""
        request = Request(self._engine, np.asarray(values), output)
        self._queue.put(request)
        try:
            return request.result.result()
        finally:
            # A caller that is interrupted while it waits leaves no request behind.
            self._queue.withdraw(request)


def _computed(batch: Sequence[Request]) -> list[NDArray[np.float32] | Exception]:
    """Compute requests together, or one by one if that fails; returns the result or error of each."""
    leader = batch[0]
    if len(batch) == 1:
        return [_alone(leader)]
    counts = [request.count for request in batch]
    try:
        results = leader.engine.run(np.concatenate([request.values for request in batch]), leader.output)
        if len(results) != sum(counts):
            raise BundleError(f"an engine gives {len(results)} results for {sum(counts)} inputs")
    except Exception:  # noqa: BLE001 - below, each request gets its own error
        return [_alone(request) for request in batch]
    # Copies: a view would keep the results of all streams in memory as long as one of them is used.
    return [part.copy() for part in np.split(results, np.cumsum(counts)[:-1])]


def _alone(request: Request) -> NDArray[np.float32] | Exception:
    try:
        return request.engine.run(request.values, request.output)
    except Exception as error:  # noqa: BLE001 - raised in the calling thread
        return error
