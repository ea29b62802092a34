"""Keeping what an engine computes on chosen cores: its own threads for good, the calling thread while it computes.

Linux only: a thread inherits the cores of the thread that starts it, so an engine that is opened and run within
`confined` stays there, whatever its runtime calls the option.
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
    """An engine that computes on `cores` only, in whichever thread it is called."""

    def __init__(self, engine: Engine, cores: Sequence[int]) -> None:
        self._engine = engine
        self._cores = cores

    def run(self, values: NDArray[Any], output: str) -> NDArray[np.float32]:
        """See `Engine.run`; the calling thread has its own cores back afterwards."""
        with confined(self._cores):
            return self._engine.run(values, output)


def threads_on(cores: Sequence[int] | None, threads: int | None) -> int | None:
    """Threads of an engine on these cores: one each; `threads` where no cores are given.

    Raises:
        ConfigError: cores that this process does not have, that are named twice, or fewer or more of them than threads.
    """
    if cores is None:
        return threads
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError("this system cannot keep threads on cores, Linux can: leave the cores out")
    at_hand = sorted(os.sched_getaffinity(0))
    unusable = [core for core in cores if core not in at_hand]
    if not cores or unusable:
        found = f"core {unusable[0]} is not one of this process" if unusable else "no core was given"
        raise ConfigError(f"{found}: choose among {', '.join(map(str, at_hand))}")
    if len(set(cores)) < len(cores):
        raise ConfigError(f"cores {', '.join(map(str, cores))} name one of them twice: name each once")
    if threads not in (None, len(cores)):
        raise ConfigError(f"{threads} threads cannot have one each of {len(cores)} cores: give the cores alone")
    return len(cores)


@contextmanager
def confined(cores: Sequence[int] | None) -> Iterator[None]:
    """Keep the calling thread, and the threads that it starts meanwhile, on `cores`; None changes nothing."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
