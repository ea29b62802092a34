"""Workers come and go; every file gets its rows once. A fake cluster makes each loss exact."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from fake_ray import FakeRay, RayError, RayTaskError

from cavsync.deploy import ScoringOptions
from cavsync.deploy.archive.messages import Refusal
from cavsync.deploy.archive.rows import FileRows
from cavsync.deploy.archive.setup import Setup
from cavsync.deploy.archive.sources import Source
from cavsync.deploy.archive.worker_pool import MAX_LOSSES, WorkerPool, WorkerSpec
from cavsync.errors import BundleError, ConfigError, DataError

SOURCES = [Source(f"/clips/{number:02d}.mkv") for number in range(100)]
SETUP = Setup(Path("bundle"), "00", {"engine": "onnxruntime"}, ScoringOptions())


def scored(_: int, source: Source) -> FileRows:
    return FileRows({"source": source.name, "state": "in_sync"})


def run(ray: FakeRay, spec: WorkerSpec = WorkerSpec(2, 2), setup: Setup = SETUP) -> list[FileRows]:  # noqa: B008
    """Score all sources and require each once."""
    rows = [one for one in WorkerPool(ray, spec, setup, None).run(SOURCES) if one is not None]
    assert Counter(one.source for one in rows) == Counter(source.name for source in SOURCES)
    assert all(actor.killed for actor in ray.actors)
    return rows


@pytest.mark.parametrize(("spec", "most"), [(WorkerSpec(1, 1), 1), (WorkerSpec(2, 6), 6), (WorkerSpec(), 4)])
def test_as_many_workers_as_asked_for_and_no_more(spec: WorkerSpec, most: int) -> None:
    ray = FakeRay(scored)
    run(ray, spec)
    assert ray.most_alive == len(ray.actors) == most


def test_few_files_need_few_workers() -> None:
    ray = FakeRay(scored)
    assert len([one for one in WorkerPool(ray, WorkerSpec(8, 8), SETUP, None).run(SOURCES[:3]) if one]) == 3
    assert len(ray.actors) == 3


@pytest.mark.parametrize("streams", [1, 3])
def test_lost_workers_cost_no_file(streams: int) -> None:
    calls = 0

    def score(number: int, source: Source) -> FileRows:
        nonlocal calls
        calls += 1
        if calls % 4 == 0:
            raise RayError("a node was lost")
        return scored(number, source)

    setup = Setup(SETUP.bundle, "00", SETUP.engine, SETUP.options, streams=streams)
    rows = run(FakeRay(score), setup=setup)
    assert all(one.error is None for one in rows)


def test_a_file_whose_workers_are_always_lost_is_named() -> None:
    def score(number: int, source: Source) -> FileRows:
        if source is SOURCES[7]:
            raise RayError("out of\nmemory")
        return scored(number, source)

    rows = run(FakeRay(score))
    (error,) = (one.error for one in rows if one.error is not None)
    assert error == f"/clips/07.mkv lost its worker {MAX_LOSSES} times (out of memory): leave it out"


def test_workers_that_never_open_end_the_archive() -> None:
    def refuse(_: int) -> None:
        raise RayError("no room")

    with pytest.raises(DataError, match=r"5 workers in a row were lost while they opened the bundle \(no room\)"):
        run(FakeRay(scored, refuse))


def test_some_that_do_not_open_are_replaced() -> None:
    def refuse(number: int) -> None:
        if number % 2:
            raise RayError("no room")

    run(FakeRay(scored, refuse))


@pytest.mark.parametrize(("is_config", "kind"), [(True, ConfigError), (False, BundleError)])
def test_what_all_files_would_meet_ends_the_archive(is_config: bool, kind: type[Exception]) -> None:
    refusal = Refusal("no such engine", is_config)
    with pytest.raises(kind, match="no such engine"):
        run(FakeRay(scored, lambda number: refusal))
    with pytest.raises(kind, match="no such engine"):
        run(FakeRay(lambda number, source: refusal))


def test_a_defect_shows_its_traceback() -> None:
    def score(number: int, source: Source) -> FileRows:
        raise RayTaskError("TypeError")

    with pytest.raises(RayTaskError):
        run(FakeRay(score))


def test_a_cluster_without_room_is_an_error_unless_it_may_grow() -> None:
    ray = FakeRay(scored, resources={"CPU": 8.0})
    with pytest.raises(ConfigError, match=r"the cluster has 8 CPUs and 0 GPUs, a worker takes 1 and 0\.5: lower"):
        run(ray, WorkerSpec(gpus=0.5))
    with pytest.raises(ConfigError, match="the cluster has 8 CPUs"):
        run(ray, WorkerSpec(1, 3, gpus=0.5, can_grow=False))
    run(ray, WorkerSpec(1, 3, gpus=0.5))
