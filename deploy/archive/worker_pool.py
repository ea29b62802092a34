"""The workers of an archive: as many as the work and the cluster take, replaced where they are lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cavsync.deploy.archive.messages import Refusal
from cavsync.deploy.archive.rows import FileRows, failed
from cavsync.deploy.archive.setup import Setup
from cavsync.deploy.archive.sources import Source
from cavsync.deploy.archive.worker import Worker
from cavsync.errors import ConfigError, DataError

WAIT_SECONDS = 0.25
MAX_LOSSES = 5
"""Workers lost with a file, or in a row while they open the bundle, before that is taken for their own doing."""


@dataclass(frozen=True)
class WorkerSpec:
    """The number of workers, and the resources of each.

    Between `least` and `most` workers are asked for, so that an autoscaling cluster grows; None for what the cluster
    has now. `gpus` may be a fraction. `can_grow`: a worker may wait for a machine that is not there yet.
    """

    least: int | None = None
    most: int | None = None
    cpus: int = 1
    gpus: float = 0.0
    can_grow: bool = True


@dataclass(eq=False)
class _Member:
    """An actor, whether its bundle is open, and the tasks that it was given."""

    actor: Any
    is_open: bool = False
    tasks: set[Any] = field(default_factory=set)


class WorkerPool:
    """Scores files on the workers of a cluster.

    Args:
        ray: the module, connected to a cluster.
        spec: how many workers.
        setup: how they score.
        content: the files of the bundle, for machines that do not have it; None where all have.

    Raises:
        ConfigError: the cluster has no room for a worker.
    """

    def __init__(self, ray: Any, spec: WorkerSpec, setup: Setup, content: dict[str, bytes] | None) -> None:
        self._ray, self._setup = ray, setup
        self._least, self._most = _numbers(ray, spec)
        options = {"num_cpus": spec.cpus, "num_gpus": spec.gpus, "scheduling_strategy": "SPREAD"}
        # One thread more, so that `open` is answered whatever else happens.
        self._actor = ray.remote(max_restarts=0, max_concurrency=setup.streams + 1, **options)(Worker)
        self._content = None if content is None else ray.put(content)
        self._members: list[_Member] = []
        self._openings: dict[Any, _Member] = {}
        self._tasks: dict[Any, tuple[_Member, Source]] = {}
        self._losses: dict[str, int] = {}
        self._opening_losses = 0

    @property
    def num_open(self) -> int:
        """Workers that are scoring, or ready to."""
        return sum(member.is_open for member in self._members)

    def run(self, sources: Iterable[Source]) -> Iterator[FileRows | None]:
        """Score the sources; yields the rows of each once, in the order in which they are done, and None meanwhile.

        Raises:
            BundleError, ConfigError: every file would meet this error.
            DataError: workers cannot be started.
        """
        waiting = deque(sources)
        try:
            while waiting or self._tasks:
                self._grow(len(waiting))
                self._assign(waiting)
                refs = [*self._openings, *self._tasks]
                done, _ = self._ray.wait(refs, num_returns=1, timeout=WAIT_SECONDS)
                for ref in done:
                    if ref in self._openings:
                        self._opened(ref)
                    elif (rows := self._scored(ref, waiting)) is not None:
                        yield rows
                yield None
                self._shrink(len(waiting))
        finally:
            for member in list(self._members):
                self._dismiss(member)

    def _grow(self, num_waiting: int) -> None:
        """Ask for the least number of workers, then for one more whenever all are busy, up to the most."""
        if not num_waiting:
            return
        while len(self._members) < min(self._least, num_waiting + len(self._tasks)):
            self._add()
        is_busy = all(len(member.tasks) >= self._setup.streams for member in self._members)
        if is_busy and not self._openings and len(self._members) < self._most:
            self._add()

    def _add(self) -> None:
        member = _Member(self._actor.remote(self._setup, self._content))
        self._members.append(member)
        self._openings[member.actor.open.remote()] = member

    def _assign(self, waiting: deque[Source]) -> None:
        """Give each worker a file more than it scores at a time, so that it never waits for the next."""
        for depth in range(1, self._setup.streams + 2):
            for member in self._members:
                if waiting and member.is_open and len(member.tasks) < depth:
                    source = waiting.popleft()
                    ref = member.actor.score.remote(source)
                    member.tasks.add(ref)
                    self._tasks[ref] = member, source

    def _opened(self, ref: Any) -> None:
        member = self._openings.pop(ref)
        try:
            refusal: Refusal | None = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:
            self._dismiss(member)
            self._opening_losses += 1
            if self._opening_losses >= MAX_LOSSES:
                raise DataError(
                    f"{MAX_LOSSES} workers in a row were lost while they opened the bundle "
                    f"({' '.join(str(error).split()):.200}): look at the logs of Ray"
                ) from None
            return
        if refusal is not None:
            raise refusal.error
        self._opening_losses = 0
        member.is_open = True

    def _scored(self, ref: Any, waiting: deque[Source]) -> FileRows | None:
        found = self._tasks.pop(ref, None)
        if found is None:
            # Its worker was lost, and the file given back, by an earlier one of the same call.
            return None
        member, source = found
        member.tasks.discard(ref)
        try:
            rows: FileRows | Refusal = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:
            self._lose(member, waiting)
            return self._again(source, error, waiting)
        if isinstance(rows, Refusal):
            raise rows.error
        return rows

    def _lose(self, member: _Member, waiting: deque[Source]) -> None:
        """Give back the other files of a worker that is lost, of which none has had a part in it."""
        for ref in member.tasks:
            waiting.appendleft(self._tasks.pop(ref)[1])
        self._dismiss(member)

    def _again(self, source: Source, error: Exception, waiting: deque[Source]) -> FileRows | None:
        self._losses[source.name] = self._losses.get(source.name, 0) + 1
        if self._losses[source.name] < MAX_LOSSES:
            waiting.appendleft(source)
            return None
        words = " ".join(str(error).split())
        return failed(source, f"{source.name} lost its worker {MAX_LOSSES} times ({words:.200}): leave it out")

    def _shrink(self, num_waiting: int) -> None:
        """Give workers back that have nothing left to do."""
        for member in list(self._members):
            if not num_waiting and member.is_open and not member.tasks:
                self._dismiss(member)

    def _dismiss(self, member: _Member) -> None:
        if member in self._members:
            self._members.remove(member)
            self._ray.kill(member.actor)
        self._openings = {ref: one for ref, one in self._openings.items() if one is not member}


def _numbers(ray: Any, spec: WorkerSpec) -> tuple[int, int]:
    """Return the least and the most number of workers."""
    found = ray.cluster_resources()
    rooms = [int(found.get("CPU", 0.0) // spec.cpus)]
    if spec.gpus:
        rooms.append(int(found.get("GPU", 0.0) // spec.gpus))
    room = min(rooms)
    if room < 1 and (spec.least is None or not spec.can_grow):
        raise ConfigError(
            f"the cluster has {found.get('CPU', 0.0):g} CPUs and {found.get('GPU', 0.0):g} GPUs, a worker takes "
            f"{spec.cpus} and {spec.gpus:g}: lower --cpus-per-worker or --gpus-per-worker, or give --workers for a "
            "cluster that grows"
        )
    least = spec.least or room
    return least, max(least, spec.most or least)
