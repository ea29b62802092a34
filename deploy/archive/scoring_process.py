"""Score files in a separate process, so that a file that crashes it affects no other."""

from __future__ import annotations

import importlib
import itertools
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Lock, Thread
from time import monotonic
from typing import Any

from cavsync.deploy.archive.messages import Done, Job, Progress, Ready, Refusal, Reply
from cavsync.deploy.archive.rows import FileRows, failed
from cavsync.deploy.archive.setup import Setup
from cavsync.deploy.archive.sources import Source
from cavsync.deploy.files.apart import end_of_process
from cavsync.errors import BundleError

PROGRAM = (sys.executable, "-P", "-m", "cavsync.deploy.archive.scoring_program")
POLL_SECONDS = 0.1
MAX_WAITS = 5
"""Processes in which a file may wait in vain for its turn, before it is scored apart."""


class _LostError(Exception):
    """The process ended before the file was scored; with `reason`, the file is known to be the cause.

    A file that was not `begun` has had no part in it.
    """

    def __init__(self, reason: str = "", status: int | None = None, *, begun: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.status, self.begun = reason, status, begun


@dataclass
class _Pending:
    """A file that waits in the process or is being scored, and when it last progressed: None before it is begun."""

    future: Future[FileRows]
    seen_seconds: float | None = None


class ScoringProcess:
    """A scoring process that is started again after a file has ended it.

    A file that takes too much memory while no other is scored, or makes no progress, has failed. Files that were being
    scored when the process ended otherwise are each scored once more, in a process for that file alone; the one that
    ends that too has failed.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._lock, self._apart = Lock(), Lock()
        self._life: _Life | None = None

    def open(self) -> None:
        """Start the process. Raises BundleError and ConfigError as `Bundle.open` does."""
        with self._lock:
            if self._life is None or self._life.is_over:
                self._life = _Life(self._setup)

    def score(self, source: Source) -> FileRows:
        """Score a file, in as many threads at a time as the setup has streams. BundleError, ConfigError: see `open`."""
        for _ in range(MAX_WAITS):
            self.open()
            life = self._life
            assert life is not None
            try:
                return life.submit(source).result()
            except _LostError as loss:
                if loss.reason:
                    return failed(source, f"{source.name} {loss.reason}")
                if loss.begun:
                    break
        # One at a time, so that no two of them share the blame.
        with self._apart:
            life = _Life(self._setup)
            try:
                return life.submit(source).result()
            except _LostError as loss:
                return failed(source, f"{source.name} {loss.reason or end_of_process(loss.status)}")
            finally:
                life.close()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._life is not None:
                self._life.close()


class _Life:
    """One process from its start to its end, watched by a thread."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._numbers = itertools.count()
        self._pending: dict[int, _Pending] = {}
        self._lock = Lock()
        self._refusal: Refusal | None = None
        self.is_over = False
        self._process, self._connection = _started(PROGRAM)
        self._memory = importlib.import_module("psutil").Process(self._process.pid)
        self._connection.send(setup)
        self._await_ready()
        self._watcher = Thread(target=self._watch, name="watch-scoring", daemon=True)
        self._watcher.start()

    def submit(self, source: Source) -> Future[FileRows]:
        """Score a file; the future raises `_LostError` if the process ends before."""
        with self._lock:
            future: Future[FileRows] = Future()
            if self.is_over:
                future.set_exception(_LostError())
                return future
            number = next(self._numbers)
            self._pending[number] = _Pending(future)
            # A process that has just ended is seen by the thread that watches it.
            with suppress(OSError):
                self._connection.send(Job(number, source))
        return future

    def close(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._watcher.join()

    def _await_ready(self) -> None:
        try:
            reply: Reply = self._connection.recv()
        except (EOFError, OSError):
            raise BundleError(
                f"the process that opens {self._setup.bundle} ends with status {self._process.wait()}: try the bundle "
                "with cavsync score"
            ) from None
        if isinstance(reply, Refusal):
            self._process.wait()
            raise reply.error
        assert isinstance(reply, Ready)

    def _watch(self) -> None:
        """Take replies until the process ends, or has to be ended."""
        culprits: dict[int, str] = {}
        try:
            while not culprits:
                if self._connection.poll(POLL_SECONDS):
                    self._take(self._connection.recv())
                culprits = self._excesses()
        except (EOFError, OSError):
            pass
        self._process.kill()
        status = self._process.wait()
        with self._lock:
            self.is_over = True
            self._connection.close()
            for number, pending in self._pending.items():
                loss: Exception = _LostError(culprits.get(number, ""), status, begun=pending.seen_seconds is not None)
                pending.future.set_exception(loss if self._refusal is None else self._refusal.error)

    def _take(self, reply: Reply) -> None:
        with self._lock:
            if isinstance(reply, Done):
                self._pending.pop(reply.number).future.set_result(reply.rows)
            elif isinstance(reply, Progress):
                self._pending[reply.number].seen_seconds = monotonic()
            elif isinstance(reply, Refusal):
                self._refusal = reply
                raise EOFError

    def _excesses(self) -> dict[int, str]:
        """Return the numbers of the files that are known to stall the process or to fill the memory, with the reason.

        Of several files the one that fills the memory is unknown: the number is then -1.
        """
        limit_seconds = self._setup.stall_seconds
        with self._lock:
            begun = {number: one.seen_seconds for number, one in self._pending.items() if one.seen_seconds is not None}
        stalled = [number for number, seconds in begun.items() if monotonic() - seconds > limit_seconds]
        if stalled:
            words = f"hangs: no progress for {limit_seconds:g} s (--stall-seconds): convert the file, or leave it out"
            return dict.fromkeys(stalled, words)
        if begun and _memory_mb(self._memory) > self._setup.memory_mb:
            words = f"takes more than {self._setup.memory_mb} MiB of memory: raise --memory-mb, or leave it out"
            return {next(iter(begun)) if len(begun) == 1 else -1: words}
        return {}


def _started(program: Sequence[str]) -> tuple[subprocess.Popen[bytes], Connection]:
    ours, theirs = socket.socketpair()
    with theirs:
        # A session of its own: Ctrl-C in a terminal is the driver's to handle.
        process = subprocess.Popen(
            [*program, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    return process, Connection(ours.detach())


def _memory_mb(process: Any) -> float:
    try:
        return float(process.memory_info().rss) / 2**20
    except importlib.import_module("psutil").Error:
        # It has just ended, which the connection tells.
        return 0.0
