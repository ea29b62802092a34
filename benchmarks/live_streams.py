"""The number of live streams that this machine sustains before decisions are late.

Three ways to share the work: the streams as threads of one process, the same through an EnginePool, and spread over
several processes, each with a bundle of its own.

Each stream is a thread that pushes decoded frames (320x180, 25 Hz) and audio (48 kHz, stereo), or those of a file, into
a scorer of the shipped model (±0.8 s) at the times at which they would arrive. The latency of a decision is measured
from when the last sample that it needs is due: the end of the segment that lies the search range after the window's
last frame. Because the due time counts, not the actual push, a machine that falls behind is measured as late. A number
of streams is sustained if 99 % of the decisions arrive within --late-seconds; the largest is found by doubling and
halving. Appends rows to results/live_streams.jsonl.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import material
import measure
import numpy as np

from cavsync.deploy import Bundle, EnginePool, ScoringOptions, SyncScorer
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.deploy.stream.options import AUTO, PATHS
from cavsync.media.align import FRAME_LENGTH_SAMPLES, FRAME_SHIFT_SAMPLES, SAMPLE_RATE_HZ

RESULTS = measure.RESULTS / "live_streams.jsonl"
MAX_OFFSET_MS = 800.0
HELD_SHARE = 0.99
MAX_STREAMS = 512
PLAIN, POOL, PROCESSES = "plain", "pool", "processes"


def needed_seconds(scorer: SyncScorer, end_seconds: float) -> float:
    """Return when the last sample needed by the window that ends at `end_seconds` has been heard."""
    last_frame = math.ceil(end_seconds * material.FRAME_RATE_HZ - 1e-6) - 1
    segment_frames = scorer.bundle.manifest.audio.segment_frames
    span_samples = (segment_frames - 1) * FRAME_SHIFT_SAMPLES + FRAME_LENGTH_SAMPLES
    reach_seconds = scorer.max_offset_ms / 1000 + span_samples / SAMPLE_RATE_HZ / 2
    return last_frame / material.FRAME_RATE_HZ + reach_seconds


def play(
    scorer: SyncScorer, clip: material.Material, start_time: float, seconds: float, stop: threading.Event
) -> list[float]:
    """Push a stream in real time from `start_time` on; return the latency of each decision in seconds."""
    latencies = []
    for index in range(round(seconds * material.FRAME_RATE_HZ)):
        # A chunk of audio arrives when its last sample has been heard.
        wait_seconds = start_time + (index + 1) / material.FRAME_RATE_HZ - time.monotonic()
        if stop.wait(max(0.0, wait_seconds)) or wait_seconds < -seconds:
            break
        decisions = clip.push(scorer, index)
        now = time.monotonic() - start_time
        latencies += [now - needed_seconds(scorer, decision.time_seconds) for decision in decisions]
    return latencies


@dataclass(frozen=True)
class Load:
    """What every stream of a trial is: its options, the repeated clip, and how long it is played."""

    options: ScoringOptions
    clip: material.Material
    seconds: float


@dataclass
class Found:
    """Latencies of the decisions of some streams, how many never came, and the CPU time of all."""

    latencies: list[float] = field(default_factory=list)
    missing: int = 0
    cpu_seconds: float = 0.0


def run_streams(bundle: Bundle, load: Load, start_times: Sequence[float]) -> Found:
    """Run streams in threads, each from its start time (of time.monotonic) on."""
    stop = threading.Event()
    options = load.options.for_live(bundle.manifest.sync)
    found = Found(cpu_seconds=-time.process_time())

    def run(start_time: float) -> None:
        scorer = SyncScorer(bundle, options)
        latencies = play(scorer, load.clip, start_time, load.seconds, stop)
        first, step = scorer.window_seconds, bundle.manifest.sync.decision_step_seconds
        ends = np.arange(first, load.seconds, step)
        # Decisions that were due more than a second before the end and never arrived count as missing.
        due = sum(needed_seconds(scorer, end) < load.seconds - 1 for end in ends.tolist())
        found.latencies += latencies
        found.missing += max(0, due - len(latencies))

    threads = [threading.Thread(target=run, args=(start_time,)) for start_time in start_times]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        stop.set()
    found.cpu_seconds += time.process_time()
    return found


class Process:
    """A child process with a bundle of its own, which runs the streams that it is sent."""

    def __init__(self, load: Load, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._child = context.Process(target=serve, args=(theirs, load, threads), daemon=True)
        self._child.start()
        # Only the child has the other end now, so that its death is the end of what comes.
        theirs.close()
        try:
            self.connection.recv()
        except EOFError:
            raise SystemExit("A process of the trial ended before it was ready; see its message above.") from None

    def close(self) -> None:
        """End the process."""
        self.connection.send(None)
        self._child.join()


def serve(connection: Connection, load: Load, threads: int) -> None:
    """Answer start times of streams with what was found, until None comes."""
    bundle = Bundle.open(default_bundle(), threads=threads)
    connection.send(None)
    while start_times := connection.recv():
        connection.send(run_streams(bundle, load, start_times))


def trial(bundle: Bundle, load: Load, num_streams: int, processes: Sequence[Process] = ()) -> dict[str, Any]:
    """Run several streams at once, in `processes` or in this one.

    Their starts are spread over a second, so over frame periods and groups of frames.
    """
    begin = time.monotonic() + 0.5
    start_times = [begin + number / num_streams for number in range(num_streams)]
    if processes:
        shares = [start_times[place :: len(processes)] for place in range(min(num_streams, len(processes)))]
        busy = processes[: len(shares)]
        for child, times in zip(busy, shares, strict=True):
            child.connection.send(times)
        parts = [child.connection.recv() for child in busy]
    else:
        parts = [run_streams(bundle, load, start_times)]
    missing, cpu_seconds = sum(part.missing for part in parts), sum(part.cpu_seconds for part in parts)
    values = np.array([value for part in parts for value in part.latencies] + [load.seconds] * missing)
    p50, p99 = (np.quantile(values, [0.5, HELD_SHARE]) * 1000).tolist() if len(values) else (math.inf, math.inf)
    return {
        "streams": num_streams,
        "decisions": len(values) - missing,
        "missing": missing,
        "p50_ms": round(p50, 1),
        "p99_ms": round(p99, 1),
        "cpu_seconds_per_second": round(cpu_seconds / (num_streams * load.seconds), 3),
        "busy_cores": round(cpu_seconds / (time.monotonic() - begin), 2),
    }


SETTINGS = {PLAIN: (), POOL: ("workers", "deadline_ms", "max_batch"), PROCESSES: ("processes",)}
"""The options that belong to each way."""


def measure_way(way: str, bundle: Bundle, load: Load, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the trials of one way to share the work, one row each."""
    sizes: list[int] = []
    settings = {name: getattr(options, name) for name in SETTINGS[way]}
    processes: list[Process] = []

    def measured(number: int) -> dict[str, Any]:
        sizes.clear()
        found = trial(shared, load, number, processes)
        return found | ({"streams_per_batch": round(float(np.mean(sizes)), 2)} if sizes else {})

    print(f"{way}:", flush=True)
    with ExitStack() as stack:
        shared = bundle
        if way == POOL:
            pool = EnginePool(bundle, **settings, on_batch=lambda _, streams, *__: sizes.append(streams))
            shared = stack.enter_context(pool).bundle
        if way == PROCESSES:
            children = (closing(Process(load, options.threads)) for _ in range(options.processes))
            processes += map(stack.enter_context, children)
        late_ms = 1000 * options.late_seconds
        if options.streams:
            trials = [judged(measured(number), late_ms) for number in options.streams]
        else:
            trials = most_streams(lambda number: judged(measured(number), late_ms), options.first)
    held = max((found["streams"] for found in trials if found["held"]), default=0)
    print(f"{way}: {held} streams sustained", flush=True)
    return [{"way": way, **settings, **found} for found in trials]


def judged(found: dict[str, Any], late_ms: float) -> dict[str, Any]:
    """Return a trial with whether its streams were sustained."""
    found["held"] = found["p99_ms"] <= late_ms
    print(f"    {found}", flush=True)
    return found


def most_streams(
    measured: Callable[[int], dict[str, Any]], first: int, most: int = MAX_STREAMS
) -> list[dict[str, Any]]:
    """Run trials by doubling, up to `most`, then by halving the interval between sustained and not sustained."""
    trials: list[dict[str, Any]] = []

    def holds(number: int) -> bool:
        trials.append(measured(number))
        return bool(trials[-1]["held"])

    low, high = 0, first
    while high <= most and holds(high):
        low, high = high, 2 * high
    if high > most:
        return trials
    # Differences below a twelfth are noise.
    while high - low > max(1, low // 12):
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return trials


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each trial")
    parser.add_argument("--late-seconds", type=float, default=1.0)
    parser.add_argument("--first", type=int, default=4, help="number of streams in the first trial")
    parser.add_argument("--streams", type=int, nargs="+", help="try these numbers of streams instead of searching")
    parser.add_argument("--threads", type=int, default=1, help="threads of one engine call")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="parallel batches of the pool")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="processes that share the streams")
    parser.add_argument("--path", choices=PATHS, default=AUTO, help="what is judged, as in `cavsync watch`")
    parser.add_argument("--deadline-ms", type=float, default=2.0)
    parser.add_argument("--max-batch", type=int, default=64)
    parser.add_argument("--ways", nargs="+", choices=[*SETTINGS], default=[*SETTINGS])
    parser.add_argument("--clip-seconds", type=float, default=10.0, help="length of the repeated clip")
    parser.add_argument("--family", choices=material.FAMILIES, default="face", help="what the clip shows")
    parser.add_argument("--clip", type=Path, help="a file with both tracks at 25 Hz, in place of a generated clip")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    clip = (
        material.decoded(options.clip)
        if options.clip
        else material.material(options.clip_seconds, family=options.family)
    )
    bundle = Bundle.open(default_bundle(), threads=options.threads)
    load = Load(ScoringOptions(max_offset_ms=MAX_OFFSET_MS, path=options.path), clip, options.seconds)
    rows = [row for way in options.ways for row in measure_way(way, bundle, load, options)]
    facts = {name: getattr(options, name) for name in ("family", "path", "threads", "seconds", "late_seconds")}
    facts |= {
        "clip": options.clip.name if options.clip else None,
        "model": bundle.manifest.name,
        "max_offset_ms": MAX_OFFSET_MS,
    }
    facts |= measure.cpu_provenance("onnxruntime")
    measure.append_rows(options.results, [row | facts for row in rows])
    return rows


if __name__ == "__main__":
    main()
