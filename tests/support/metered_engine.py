"""A pool of engines over one that notes its batches and can be held up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from waiting import PATIENCE_SECONDS

from cavsync.deploy import Bundle, EnginePool
from cavsync.errors import BundleError

Array = np.ndarray[Any, Any]


class Meter:
    """An engine that notes what it is given, can be held up, and refuses batches that hold a 13."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.permits: threading.Semaphore | None = None

    def run(self, values: Array, output: str) -> Array:
        self.batches.append(values[:, 0].tolist())
        self.entered.release()
        assert self.gate.wait(PATIENCE_SECONDS)
        assert self.permits is None or self.permits.acquire(timeout=PATIENCE_SECONDS)
        if 13 in values:
            raise BundleError(f"13 is refused in a batch of {len(values)}")
        return np.stack([values[:, 0] * 2, values[:, 0]], axis=1).astype(np.float32)


def column(*numbers: float) -> Array:
    return np.array(numbers, dtype=np.float32)[:, None]


@contextmanager
def metered(bundle: Bundle, **options: Any) -> Iterator[tuple[Meter, EnginePool]]:
    meter = Meter()
    with EnginePool(replace(bundle, audio=meter, visual=meter), **options) as pool:
        yield meter, pool
        meter.gate.set()


def in_threads(*tasks: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(tasks)) as executor:
        futures = [executor.submit(task) for task in tasks]
        return [future.exception(PATIENCE_SECONDS) or future.result() for future in futures]


def start(*tasks: Callable[[], Any]) -> list[threading.Thread]:
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    return threads


def noted_waits(pool: EnginePool) -> list[float | None]:
    """The time-outs, in seconds, with which the pool's queue waits from now on; None waits for a request."""
    waits: list[float | None] = []
    changed = pool._queue._changed
    wait = changed.wait

    def noted(timeout: float | None = None) -> bool:
        waits.append(timeout)
        return wait(timeout)

    changed.wait = noted
    return waits
