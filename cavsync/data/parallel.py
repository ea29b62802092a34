"""Run a function on many clips in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import torch

CHUNK_CLIPS = 4

Job = TypeVar("Job")
Result = TypeVar("Result")


def map_in_processes(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    *,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Result]:
    """Yield `function(job)` of each job in order; `progress(done, total)` is called when the caller is done with one.

    function, jobs and results are pickled. Callers need the usual `if __name__ == "__main__"` guard.
    """
    with ProcessPoolExecutor(max(1, workers), mp_context=get_context("spawn"), initializer=_use_one_thread) as pool:
        for done, result in enumerate(pool.map(function, jobs, chunksize=CHUNK_CLIPS), start=1):
            yield result
            if progress is not None:
                progress(done, len(jobs))


def _use_one_thread() -> None:
    # The processes already use all cores; further threads would only compete for them.
    torch.set_num_threads(1)
