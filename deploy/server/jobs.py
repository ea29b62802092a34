"""The job queue: a bounded number of files to score, a few workers, and results kept for a limited time."""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from cavsync.deploy.files.score_file import score_file
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.server.refusals import FAILED, RefusalError
from cavsync.deploy.server.settings import KEPT_RESULTS, ServerSettings
from cavsync.deploy.sinks.html import html_text
from cavsync.deploy.stream.options import ScoringOptions
from cavsync.deploy.verdict.words import headline
from cavsync.errors import CavsyncError, MediaError

log = logging.getLogger(__name__)

QUEUED, RUNNING, DONE, FAILED_STATE, CANCELLED = "queued", "running", "done", "failed", "cancelled"
MAX_PIECES_PER_SECOND = 1000
"""Most frames and audio chunks per second of a real file: timestamps alone could hide an endless file."""


class JobCancelledError(Exception):
    """Raised inside a job's work to cancel it."""


@dataclass
class Job:
    """One file to score. `summary`, `windows`, `tracks` and `report_html` are set when it is done."""

    name: str
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    state: str = QUEUED
    created_unix_seconds: float = field(default_factory=time.time)
    finished_monotonic: float = math.inf
    done_seconds: float = 0.0
    duration_seconds: float | None = None
    error: str | None = None
    summary: dict[str, Any] | None = None
    verdict: str | None = None
    windows: list[dict[str, Any]] = field(default_factory=list)
    tracks: list[dict[str, Any]] = field(default_factory=list)
    report_html: str = ""
    stop: threading.Event = field(default_factory=threading.Event, repr=False)
    discard: Callable[[], None] = field(default=lambda: None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the job in the form sent to clients."""
        found: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "created_unix_seconds": round(self.created_unix_seconds, 3),
            "progress": {"done_seconds": round(self.done_seconds, 3), "duration_seconds": self.duration_seconds},
            "error": self.error,
            "verdict": self.verdict,
            "summary": self.summary,
            "links": {"self": f"/v1/jobs/{self.id}"},
        }
        if self.state == DONE:
            found["links"] |= {"result": f"/v1/jobs/{self.id}/result", "report": f"/v1/jobs/{self.id}/report"}
        return found

    def check(self) -> None:
        """Raise `JobCancelledError` if the job was cancelled."""
        if self.stop.is_set():
            raise JobCancelledError

    def finish(self, state: str, error: str | None = None) -> None:
        """Record the final state and when it was reached."""
        self.state, self.error = state, error
        self.finished_monotonic = time.monotonic()


class JobQueue:
    """Submit files and read their results. All methods may be called from any thread."""

    def __init__(self, bundle: Bundle, settings: ServerSettings) -> None:
        self._bundle = bundle
        self._settings = settings
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._num_taken = 0
        self._pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="job")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Reserve a slot in the queue while a job arrives; the `submit` inside the block takes it over.

        Raises:
            RefusalError: the queue is full; jobs that are arriving, waiting or running count.
        """
        with self._lock:
            if self._num_taken >= self._settings.max_jobs:
                raise RefusalError(
                    503, f"{self._num_taken} jobs are waiting or running, the most allowed: try again later"
                )
            self._num_taken += 1
        try:
            yield
        finally:
            self._leave()

    def submit(
        self,
        name: str,
        open_file: Callable[[Job], IO[bytes]],
        options: ScoringOptions,
        discard: Callable[[], None] = lambda: None,
    ) -> Job:
        """Queue the file that `open_file` opens at the job's turn; it is closed after scoring.

        `discard` is called instead if the job is cancelled before its turn. A cancelled job keeps its slot until that
        turn, so submitting and removing in a loop cannot exceed the bound.
        """
        job = Job(name, discard=discard)
        with self._lock:
            self._jobs[job.id] = job
            self._num_taken += 1
        self._pool.submit(self._run, job, open_file, options)
        return job

    def list(self) -> list[Job]:
        """Return all jobs, newest first."""
        self.sweep()
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: -job.created_unix_seconds)

    def get(self, job_id: str) -> Job:
        """Return the job with this id; RefusalError if it does not exist or has expired."""
        self.sweep()
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            raise RefusalError(404, f"there is no job {job_id!r:.60}, or its result has expired: submit the file again")
        return job

    def remove(self, job_id: str) -> None:
        """Cancel the job and forget it."""
        job = self.get(job_id)
        with self._lock:
            self._jobs.pop(job.id, None)
        self._cancel(job)

    def sweep(self) -> None:
        """Forget finished jobs that exceed the kept age or number."""
        now = time.monotonic()
        with self._lock:
            finished = [job for job in self._jobs.values() if job.finished_monotonic < math.inf]
            finished.sort(key=lambda job: job.finished_monotonic, reverse=True)
            for place, job in enumerate(finished):
                if place >= KEPT_RESULTS or now - job.finished_monotonic > self._settings.keep_results_seconds:
                    del self._jobs[job.id]

    def close(self) -> None:
        """Cancel all jobs, wait for those that run, and discard their files."""
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            self._cancel(job)
        self._pool.shutdown(wait=True)

    def _leave(self) -> None:
        with self._lock:
            self._num_taken -= 1

    def _cancel(self, job: Job) -> None:
        job.stop.set()
        with self._lock:
            is_waiting = job.state == QUEUED
            if is_waiting:
                job.finish(CANCELLED)
        if is_waiting:
            job.discard()

    def _run(self, job: Job, open_file: Callable[[Job], IO[bytes]], options: ScoringOptions) -> None:
        with self._lock:
            is_wanted = job.state == QUEUED
            if is_wanted:
                job.state = RUNNING
        state, error = self._outcome(job, open_file, options) if is_wanted else (CANCELLED, None)
        # Free the slot first: a client that sees the job end may submit the next one at once.
        self._leave()
        job.finish(state, error)

    def _outcome(
        self, job: Job, open_file: Callable[[Job], IO[bytes]], options: ScoringOptions
    ) -> tuple[str, str | None]:
        try:
            with open_file(job) as file:
                job.check()
                score = score_file(
                    job.name,
                    self._bundle,
                    options,
                    file=file,
                    on_progress=self._watch(job),
                    keep_picture=self._settings.thumbnails,
                )
                job.windows = [record.to_dict() for record in score.records]
                job.tracks = [track.to_dict() for track in score.tracks]
                job.report_html = html_text([score])
                job.verdict = headline(score.summary.score)
                job.summary = score.summary.to_dict()
        except JobCancelledError:
            return CANCELLED, None
        except CavsyncError as error:
            return FAILED_STATE, str(error)
        except Exception:
            log.exception("job %s failed", job.id)
            return FAILED_STATE, FAILED
        return DONE, None

    def _watch(self, job: Job) -> Callable[[float, float | None], None]:
        limit_seconds = self._settings.max_duration_seconds
        num_pieces = 0

        def on_progress(done_seconds: float, declared_seconds: float | None) -> None:
            nonlocal num_pieces
            job.check()
            num_pieces += 1
            job.done_seconds = max(job.done_seconds, done_seconds)
            job.duration_seconds = declared_seconds
            decoded_seconds = num_pieces / MAX_PIECES_PER_SECOND
            if max(done_seconds, declared_seconds or 0.0, decoded_seconds) > limit_seconds:
                raise MediaError(
                    f"{job.name} is longer than {limit_seconds:g} s: send parts of it, or raise --max-duration-seconds"
                )

        return on_progress
