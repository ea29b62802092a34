"""Write shards in several processes that can be stopped at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from cavsync.data.shards.write_shard import ShardJob, start_worker, write_shard
from cavsync.errors import DataError

POLL_SECONDS = 0.2


def run_jobs(jobs: Iterator[ShardJob], workers: int, advance: Callable[[int], None]) -> None:
    """Write each job's shard; `advance(number)` is called with the number of clips done since the last call.

    With one worker, this process does the work. Ends soon after KeyboardInterrupt, leaving complete shards only.
    Raises DataError if a worker process was killed.
    """
    try:
        if workers == 1:
            for job in jobs:
                write_shard(job, lambda: advance(1))
        else:
            _run_in_pool(jobs, workers, advance)
    except BrokenProcessPool:
        raise DataError(
            "A worker process was killed, by a lack of memory or a damaged file: pack again with fewer workers; "
            "finished shards are kept"
        ) from None


def _run_in_pool(jobs: Iterator[ShardJob], workers: int, advance: Callable[[int], None]) -> None:
    context = get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    reported = 0
    with ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker, initargs=(done, stop)) as pool:
        pending: set[Future[None]] = set()
        try:
            while True:
                # A job carries the names of its clips, so only a few are submitted at a time to save memory.
                while len(pending) < 2 * workers and (job := next(jobs, None)) is not None:
                    pending.add(pool.submit(write_shard, job))
                if not pending:
                    break
                finished, pending = wait(pending, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                now = done.value
                advance(now - reported)
                reported = now
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
