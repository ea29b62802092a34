"""Make shards by several processes that can be stopped at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from cavsync.data.shards.write_shard import ShardJob, start_worker, write_shard
from cavsync.errors import DataError

POLL_SECONDS = 0.2


def run_jobs(jobs: Iterator[ShardJob], workers: int, advance: Callable[[int], None]) -> None:
    """Make each job's shard; `advance(number)` is told of clips that are done. One worker is this process itself.

    Ends soon after KeyboardInterrupt, leaving whole shards only. Raises DataError where a process was killed.
    """
    try:
        if workers == 1:
            for job in jobs:
                write_shard(job, lambda: advance(1))
        else:
            _run_in_pool(jobs, workers, advance)
    except BrokenProcessPool:
        raise DataError(
            "A process that packs was killed, for want of memory or by a damaged file: pack again with fewer workers; "
            "finished shards are kept"
        ) from None


def _run_in_pool(jobs: Iterator[ShardJob], workers: int, advance: Callable[[int], None]) -> None:
    context = get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    told = 0
    with ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker, initargs=(done, stop)) as pool:
        pending: set[Future[None]] = set()
        try:
            while True:
                # A job brings the names of its clips along, so only few are under way at any time.
                while len(pending) < 2 * workers and (job := next(jobs, None)) is not None:
                    pending.add(pool.submit(write_shard, job))
                if not pending:
                    break
                finished, pending = wait(pending, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                now = done.value
                advance(now - told)
                told = now
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
