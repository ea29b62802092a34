"""The program of a scoring process: `python -m cavsync.deploy.archive.scoring_program DESCRIPTOR`.

It is a process of its own, so that a file which crashes it, hangs or takes too much memory ends it and not the worker.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from time import monotonic

from cavsync.deploy.archive.messages import Done, Job, Progress, Ready, Refusal, Reply
from cavsync.deploy.archive.rows import rows_of
from cavsync.deploy.archive.setup import Setup, require_same
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.pool import EnginePool
from cavsync.errors import BundleError, ConfigError

PROGRESS_SECONDS = 0.5


class _Scoring:
    """Scores jobs in threads that share the engines of one bundle."""

    def __init__(self, connection: Connection, setup: Setup, bundle: Bundle) -> None:
        self._connection = connection
        self._setup = setup
        self._bundle = bundle
        self._lock = threading.Lock()

    def send(self, reply: Reply) -> None:
        with self._lock:
            self._connection.send(reply)

    def score(self, job: Job) -> None:
        told_seconds = 0.0

        def on_progress() -> None:
            nonlocal told_seconds
            if monotonic() >= told_seconds + PROGRESS_SECONDS:
                told_seconds = monotonic()
                self.send(Progress(job.number))

        on_progress()
        try:
            rows = rows_of(job.source, self._bundle, self._setup.options, on_progress)
        except (BundleError, ConfigError) as error:
            self.send(Refusal.of(error))
        else:
            self.send(Done(job.number, rows))


def main(descriptor: int) -> None:
    """Score the jobs that come over the connection until it is closed at the other end."""
    connection = Connection(descriptor)
    setup: Setup = connection.recv()
    try:
        bundle = Bundle.open(setup.bundle, **setup.engine)
        require_same(bundle.manifest, setup)
    except (BundleError, ConfigError) as error:
        connection.send(Refusal.of(error))
        return
    with EnginePool(bundle) as pool, ThreadPoolExecutor(setup.streams) as threads:
        scoring = _Scoring(connection, setup, pool.bundle)
        scoring.send(Ready())
        try:
            while True:
                threads.submit(scoring.score, connection.recv())
        except (EOFError, OSError):
            # Whoever asked is gone: nobody waits for what is being scored.
            os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
