"""Many streams on one set of engines: the same numbers as alone, errors where they belong, nobody left waiting."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_bundle import write_fake_bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metered_engine import column, in_threads, metered, noted_waits, start
from streams import RATE_HZ, feed, times_at
from sync_clips import make_audio, make_frames
from waiting import PATIENCE_SECONDS, wait_until

from cavsync.deploy import Bundle, EnginePool, SyncScore, SyncScorer
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.errors import ConfigError
from cavsync.manifest import MANIFEST_NAME, describe_files, read_manifest

Array = np.ndarray[Any, Any]


def score_stream(bundle: Bundle, seed: int, offset_ms: float, cuts: list[int]) -> list[SyncScore]:
    times = times_at(25, 4.0)
    samples = make_audio(0.0, 4 * RATE_HZ, seed=seed, audio_offset_ms=offset_ms)
    return feed(SyncScorer(bundle), times, make_frames(times, seed), samples, cuts=cuts)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    streams=st.lists(
        st.tuples(st.floats(-400, 400), st.lists(st.integers(1, 4 * RATE_HZ - 1), max_size=12)), min_size=2, max_size=5
    ),
    max_batch=st.sampled_from([1, 7, 64]),
    workers=st.integers(1, 3),
    deadline_ms=st.sampled_from([0.0, 2.0, 20.0]),
)
def test_streams_score_as_they_do_alone(
    bundle: Bundle, streams: list[tuple[float, list[int]]], max_batch: int, workers: int, deadline_ms: float
) -> None:
    alone = [score_stream(bundle, seed, *stream) for seed, stream in enumerate(streams)]
    with EnginePool(bundle, max_batch=max_batch, workers=workers, deadline_ms=deadline_ms) as pool:
        pooled = in_threads(
            *(lambda seed=s, stream=x: score_stream(pool.bundle, seed, *stream) for s, x in enumerate(streams))
        )
    for records, wanted in zip(pooled, alone, strict=True):
        assert len(records) == len(wanted) == 5
        for record, expected in zip(records, wanted, strict=True):
            assert record.state == expected.state
            for name in ("audio_offset_ms", "similarity", "confidence"):
                assert getattr(record, name) == pytest.approx(getattr(expected, name), abs=1e-6)


def test_real_encoders_give_what_they_give_alone() -> None:
    """Whatever the sizes of the requests, each gets its own embeddings, in its own order."""
    bundle = Bundle.open(default_bundle(), threads=1)
    random = np.random.default_rng(0)
    visual, audio = bundle.manifest.visual, bundle.manifest.audio
    shape = (visual.num_frames, visual.img_size, visual.img_size, 3)
    tubelets = [random.integers(0, 256, (n, *shape), dtype=np.uint8) for n in (1, 5, 2, 3)]
    segments = [random.normal(-5, 4, (n, audio.segment_frames, 128)).astype(np.float32) for n in (4, 1, 3, 2)]
    sizes: list[tuple[str, int, int]] = []
    with EnginePool(bundle, max_batch=8, deadline_ms=50, on_batch=lambda *row: sizes.append(row[:3])) as pool:
        found = in_threads(
            *(lambda x=x: pool.bundle.embed_frames(x) for x in tubelets),
            *(lambda x=x: pool.bundle.embed_audio(x) for x in segments),
        )
    wanted = [bundle.embed_frames(x) for x in tubelets] + [bundle.embed_audio(x) for x in segments]
    for result, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(result, expected, atol=1e-6)
    assert {name for name, _, _ in sizes} == {"audio_encoder", "frame_encoder", "visual_encoder"}
    # Each tubelet of nine frames has eight pairs.
    assert sum(count for name, _, count in sizes if name == "frame_encoder") == 11 * 8
    batches = [count for name, _, count in sizes if name != "frame_encoder"]
    assert sum(batches) == 11 + 10
    assert len(batches) < 8
    assert max(batches) <= 8


def test_requests_that_wait_become_one_batch_in_their_order(bundle: Bundle) -> None:
    with metered(bundle, max_batch=6) as (meter, pool):
        meter.gate.clear()
        results: dict[int, Array] = {}

        def ask(number: int) -> None:
            results[number] = pool.bundle.audio.run(column(number, number + 0.5), "embedding")

        threads = start(lambda: ask(0))
        assert meter.entered.acquire(timeout=PATIENCE_SECONDS)
        for number in range(1, 6):
            threads += start(lambda number=number: ask(number))
            wait_until(lambda number=number: len(pool._queue._waiting) == number)
        meter.gate.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    # Every one that waits has its turn before any has a second one, and no request is cut.
    assert meter.batches == [[0, 0.5], [1, 1.5, 2, 2.5, 3, 3.5], [4, 4.5, 5, 5.5]]
    for number, result in results.items():
        np.testing.assert_array_equal(result[:, 1], [number, number + 0.5])


def test_a_stream_in_a_hurry_gets_one_turn_at_a_time(bundle: Bundle) -> None:
    """One stream that asks without a pause, and one that asks now and then: the latter is always next."""
    with metered(bundle, max_batch=1, deadline_ms=0) as (meter, pool):
        meter.permits = threading.Semaphore(0)
        stop = threading.Event()

        def hurry() -> None:
            while not stop.is_set():
                pool.bundle.audio.run(column(0), "embedding")

        (hurried,) = start(hurry)
        for turn in range(5):
            assert meter.entered.acquire(timeout=PATIENCE_SECONDS)
            (seldom,) = start(lambda: pool.bundle.audio.run(column(1), "embedding"))
            wait_until(lambda: len(pool._queue._waiting) == 1)
            meter.permits.release()
            assert meter.entered.acquire(timeout=PATIENCE_SECONDS)
            assert meter.batches == [[0], [1]] * (turn + 1)
            meter.permits.release()
            seldom.join(PATIENCE_SECONDS)
        stop.set()
        meter.permits.release()
        hurried.join(PATIENCE_SECONDS)


def test_other_outputs_types_and_shapes_are_other_batches(bundle: Bundle) -> None:
    with metered(bundle, deadline_ms=100) as (meter, pool):
        audio = pool.bundle.audio
        wide = np.ones((2, 3), np.float32)
        asked = [(column(1), "embedding"), (column(2), "patches"), (column(3).astype(np.uint8), "embedding")]
        asked += [(wide, "embedding")]
        results = in_threads(*(lambda v=values, o=output: audio.run(v, o) for values, output in asked))
    assert sorted(map(len, meter.batches)) == [1, 1, 1, 2]
    for (values, _), result in zip(asked, results, strict=True):
        np.testing.assert_array_equal(result[:, 1], values[:, 0])


def test_a_request_larger_than_a_batch_stays_whole(bundle: Bundle) -> None:
    with metered(bundle, max_batch=2) as (meter, pool):
        pool.bundle.audio.run(column(1, 2, 3, 4, 5), "embedding")
    assert meter.batches == [[1, 2, 3, 4, 5]]


def test_a_lone_stream_never_waits_and_company_waits_no_longer_than_the_deadline(bundle: Bundle) -> None:
    with metered(bundle, deadline_ms=1000) as (meter, pool):
        waits = noted_waits(pool)
        for number in range(20, 40):
            pool.bundle.audio.run(column(number), "embedding")
    assert [seconds for seconds in waits if seconds is not None] == []
    assert meter.batches == [[number] for number in range(20, 40)]
    with metered(bundle, deadline_ms=400) as (meter, pool):
        in_threads(lambda: pool.bundle.audio.run(column(0), "embedding"))
        # Another stream was there a moment ago and might come again; after the deadline nobody waits for it.
        waits = noted_waits(pool)
        pool.bundle.audio.run(column(1), "embedding")
    timed = [seconds for seconds in waits if seconds is not None]
    assert timed
    assert all(0 < seconds <= 0.4 for seconds in timed)
    assert meter.batches == [[0], [1]]


def test_an_error_reaches_the_stream_that_caused_it_and_no_other(bundle: Bundle) -> None:
    with metered(bundle, deadline_ms=200) as (meter, pool):
        meter.gate.clear()
        asked = [column(1, 2), column(13), column(3), column(13, 4)]
        tasks = [lambda v=values: pool.bundle.visual.run(v, "embedding") for values in asked]
        (first,) = start(lambda: pool.bundle.visual.run(column(0), "embedding"))
        assert meter.entered.acquire(timeout=PATIENCE_SECONDS)
        with ThreadPoolExecutor(4) as executor:
            futures = [executor.submit(task) for task in tasks]
            wait_until(lambda: len(pool._queue._waiting) == 4)
            meter.gate.set()
            good, bad, also_good, also_bad = (future.exception(20) or future.result() for future in futures)
        first.join(PATIENCE_SECONDS)
        np.testing.assert_array_equal(good[:, 1], [1, 2])
        np.testing.assert_array_equal(also_good[:, 1], [3])
        assert str(bad) == "13 is refused in a batch of 1"
        assert str(also_bad) == "13 is refused in a batch of 2"
        # The pool goes on.
        np.testing.assert_array_equal(pool.bundle.visual.run(column(5), "embedding")[:, 1], [5])


def test_close_ends_whoever_waits_with_a_sentence(bundle: Bundle) -> None:
    before = threading.active_count()
    with metered(bundle) as (meter, pool):
        assert threading.active_count() == before + 1
        meter.gate.clear()
        outcomes: list[Any] = []

        def ask(number: int) -> None:
            try:
                outcomes.append(pool.bundle.audio.run(column(number), "embedding")[0, 1])
            except ConfigError as error:
                outcomes.append(str(error))

        threads = start(lambda: ask(7))
        assert meter.entered.acquire(timeout=PATIENCE_SECONDS)
        threads += start(lambda: ask(8), lambda: ask(9))
        wait_until(lambda: len(pool._queue._waiting) == 2)
        closing = start(pool.close)
        wait_until(lambda: len(outcomes) == 2)
        meter.gate.set()
        for thread in [*threads, *closing]:
            thread.join(PATIENCE_SECONDS)
        sentence = "the engine pool is closed and computes nothing more: open another one"
        assert outcomes == [sentence, sentence, 7]
        with pytest.raises(ConfigError, match="pool is closed"):
            pool.bundle.audio.run(column(1), "embedding")
        pool.close()
    assert threading.active_count() == before


def test_graphs_that_take_one_input_at_a_time(tmp_path: Path) -> None:
    folder = write_fake_bundle(tmp_path / "bundle")
    _fix_batch(folder, "audio_encoder")
    bundle = Bundle.open(folder, threads=1)
    segments = np.random.default_rng(1).normal(-6, 2, (5, 6, 128)).astype(np.float32)
    with EnginePool(bundle, deadline_ms=50) as pool:
        found = in_threads(*(lambda n=n: pool.bundle.embed_audio(segments[n : n + 2]) for n in range(4)))
    wanted = bundle.embed_audio(segments)
    for number, result in enumerate(found):
        np.testing.assert_array_equal(result, wanted[number : number + 2])


def _fix_batch(folder: Path, name: str) -> None:
    """Let a graph take one input at a time, as dynamic int8 ones do."""
    import onnx

    from cavsync.export.artefacts import single

    path = folder / f"{name}.onnx"
    graph = onnx.load(str(path))
    for tensor in [*graph.graph.input, *graph.graph.output]:
        tensor.type.tensor_type.shape.dim[0].dim_value = 1
    path.write_bytes(graph.SerializeToString())
    manifest = read_manifest(folder)
    changed = replace(
        manifest, files=describe_files(folder, list(manifest.files)), **{name: single(manifest.graphs[name])}
    )
    (folder / MANIFEST_NAME).write_bytes(changed.to_bytes())


def test_an_observer_that_fails_stops_nothing(bundle: Bundle) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no")

    with metered(bundle, on_batch=fail) as (_, pool):
        for number in range(3):
            np.testing.assert_array_equal(pool.bundle.audio.run(column(number), "embedding")[:, 1], [number])


@pytest.mark.parametrize(
    ("name", "number"),
    [("max_batch", 0), ("workers", 0), ("deadline_ms", -1), ("deadline_ms", 1001), ("deadline_ms", np.nan)],
)
def test_numbers_that_make_no_sense_are_refused(bundle: Bundle, name: str, number: float) -> None:
    before = threading.active_count()
    with pytest.raises(ConfigError, match=f"{name} is {number}: give"):
        EnginePool(bundle, **{name: number})
    assert threading.active_count() == before
