"""Engines kept on chosen cores: where their threads may run by the word of the kernel, and what is refused."""

from __future__ import annotations

import os
import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from cavsync.deploy import Bundle
from cavsync.deploy.runtime.cores import ConfinedEngine, confined, threads_on
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.errors import BundleError, ConfigError

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads are kept on cores on Linux only")
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
needs_two = pytest.mark.skipif(len(CORES) < 2, reason="this process has one core only")


def cores_of_threads() -> dict[int, set[int]]:
    """Thread -> the cores that it may run on."""
    return {int(path.name): os.sched_getaffinity(int(path.name)) for path in Path("/proc/self/task").iterdir()}


def tubelets(bundle: Bundle, count: int) -> np.ndarray:
    visual = bundle.manifest.visual
    shape = (count, visual.num_frames, visual.img_size, visual.img_size, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@needs_two
def test_each_thread_of_an_engine_has_a_core_of_its_own() -> None:
    before = cores_of_threads()
    bundle = Bundle.open(default_bundle(), cores=CORES[:2])
    bundle.embed_frames(tubelets(bundle, 4))
    after = cores_of_threads()
    started = [after[thread] for thread in after.keys() - before.keys()]
    # One thread beside the calling one for each graph.
    assert started == [{CORES[1]}] * len(bundle.manifest.graphs)
    assert {thread: after[thread] for thread in before.keys() & after.keys()} == {
        thread: before[thread] for thread in before.keys() & after.keys()
    }


@needs_two
def test_the_calling_thread_is_confined_while_it_computes_and_no_longer() -> None:
    seen: list[set[int]] = []

    class Recorder:
        def run(self, values: np.ndarray, output: str) -> np.ndarray:
            seen.append(os.sched_getaffinity(0))
            if output == "bad":
                raise BundleError("refused")
            return values

    engine = ConfinedEngine(Recorder(), CORES[1:2])
    engine.run(np.zeros(1, np.float32), "embedding")
    with pytest.raises(BundleError, match="refused"):
        engine.run(np.zeros(1, np.float32), "bad")
    assert seen == [{CORES[1]}] * 2
    assert os.sched_getaffinity(0) == set(CORES)


@needs_two
def test_threads_keep_the_cores_that_they_were_started_on() -> None:
    found: list[set[int]] = []
    with confined(CORES[:1]):
        inside = threading.Thread(target=lambda: found.append(os.sched_getaffinity(0)))
        inside.start()
        inside.join()
    outside = threading.Thread(target=lambda: found.append(os.sched_getaffinity(0)))
    outside.start()
    outside.join()
    assert found == [{CORES[0]}, set(CORES)]


def test_the_same_is_computed() -> None:
    plain, kept = Bundle.open(default_bundle(), threads=1), Bundle.open(default_bundle(), cores=CORES[:1])
    values = tubelets(plain, 3)
    np.testing.assert_array_equal(kept.embed_frames(values), plain.embed_frames(values))


@needs_two
@pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed: pip install 'cavsync[openvino]'")
def test_openvino_starts_its_threads_on_the_cores() -> None:
    from exported import exported

    folder = exported("auto")
    before = cores_of_threads()
    bundle = Bundle.open(folder, engine="openvino", cores=CORES[1:2])
    values = tubelets(bundle, 2)
    bundle.embed_frames(values)
    after = cores_of_threads()
    assert {frozenset(after[thread]) for thread in after.keys() - before.keys()} <= {frozenset(CORES[1:2])}
    assert os.sched_getaffinity(0) == set(CORES)


@pytest.mark.parametrize(
    ("cores", "threads", "part"),
    [
        ([], None, "no core was given"),
        ([100_000], None, "core 100000 is not one of this process"),
        ([-1], None, "core -1 is not one"),
        ([CORES[0], CORES[0]] if CORES else [], None, "twice"),
        (CORES[:1], 2, "2 threads cannot have one each of 1 cores"),
    ],
)
def test_cores_that_make_no_sense_are_refused(cores: list[int], threads: int | None, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        Bundle.open(default_bundle(), cores=cores, threads=threads)


def test_a_system_without_affinities_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity")
    with pytest.raises(ConfigError, match="this system cannot keep threads on cores"):
        threads_on([0], None)
    assert threads_on(None, 3) == 3
