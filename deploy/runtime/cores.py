"""Confine an engine to chosen cores: its own threads permanently, the calling thread while it computes.

Linux only. A thread inherits the cores of the thread that starts it, so an engine opened and run within `confined`
stays on them without any option of its runtime.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cavsync.errors import ConfigError

if TYPE_CHECKING:
    from cavsync.deploy.runtime.engines import Engine


class ConfinedEngine:
    """An engine that computes on `cores` only, whichever thread calls it."""

    def __init__(self, engine: Engine, cores: Sequence[int]) -> None:
        self._engine = engine
        self._cores = cores

    def run(self, values: NDArray[Any], output: str) -> NDArray[np.float32]:
        """See `Engine.run`; afterwards the calling thread may use its former cores again."""
        with confined(self._cores):
            return self._engine.run(values, output)

    def run_all(self, values: NDArray[Any], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """See `run_all`."""
        from cavsync.deploy.runtime.engines import run_all

        with confined(self._cores):
            return run_all(self._engine, values, outputs)


def threads_on(cores: Sequence[int] | None, threads: int | None) -> int | None:
    """Number of threads for an engine on these cores: one each, or `threads` if no cores are given.

    Raises:
        ConfigError: a core that this process may not use, a core named twice, or another number of cores than threads.
    """
    if cores is None:
        return threads
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError("this system cannot keep threads on cores, Linux can: leave the cores out")
    usable = sorted(os.sched_getaffinity(0))
    unusable = [core for core in cores if core not in usable]
    if not cores or unusable:
        found = f"core {unusable[0]} is not one of this process" if unusable else "no core was given"
        raise ConfigError(f"{found}: choose among {', '.join(map(str, usable))}")
    if len(set(cores)) < len(cores):
        raise ConfigError(f"cores {', '.join(map(str, cores))} name one of them twice: name each once")
    if threads not in (None, len(cores)):
        raise ConfigError(f"{threads} threads cannot have one each of {len(cores)} cores: give the cores alone")
    return len(cores)


@contextmanager
def confined(cores: Sequence[int] | None) -> Iterator[None]:
    """Keep the calling thread, and threads that it starts inside the block, on `cores`; None changes nothing."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
