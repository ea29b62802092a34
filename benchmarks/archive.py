"""Throughput of `cavsync archive` against `cavsync score` on the same cores, and whether all their fields are equal.

Scores generated clips by both commands, each part of them in both orders, so that other work on the machine meets both
alike: `cavsync score` in one process with all cores, and `cavsync archive` with one worker per core on a Ray cluster
that runs already (its start is measured by itself; the workers' start counts). Appends a row to results/archive.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import measure
import psutil

from cavsync.data.synth import draw_specs, generate

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from archive_objects import archived_objects, scored_objects

Objects = dict[str, list[dict[str, Any]]]
RESULTS = measure.RESULTS / "archive.jsonl"
CLUSTER = """
import sys, ray
ray.init(address="local", num_cpus=int(sys.argv[1]), include_dashboard=False, log_to_driver=False)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


def timed(words: Sequence[object], cluster: psutil.Process | None) -> tuple[float, float]:
    """Run a command; returns its seconds, and the CPU seconds of it and of the cluster."""
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin, before, seen = time.perf_counter(), _cpu_of(cluster), dict[int, float]()
    command = [sys.executable, "-P", "-c", "from cavsync.cli.main import main; main()", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        # Workers end with the command, and nobody waits for them: what they have used is looked at meanwhile.
        while process.poll() is None:
            seen |= _cpu_of(cluster)
            time.sleep(0.2)
    assert process.returncode == 0
    seconds, now = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = now.ru_utime + now.ru_stime - own.ru_utime - own.ru_stime
    return seconds, used + sum(seen.values()) - sum(before.values())


def _cpu_of(cluster: psutil.Process | None) -> dict[int, float]:
    """CPU seconds of each process of the cluster by its number."""
    found = {}
    for process in [] if cluster is None else [cluster, *cluster.children(recursive=True)]:
        try:
            found[process.pid] = sum(process.cpu_times()[:2])
        except psutil.Error:
            # It ended meanwhile.
            continue
    return found


def measured(clips: list[Path], turns: int, folder: Path, address: str, cluster: psutil.Process) -> dict[str, Any]:
    """Score the clips by both commands in turns."""
    totals = {"score": [0.0, 0.0], "archive": [0.0, 0.0]}
    expected: Objects = {}
    found: Objects = {}
    for turn in range(turns):
        part = clips[turn::turns]
        (folder / "list.txt").write_text("".join(f"{path}\n" for path in part))
        scores, out = folder / f"scores{turn}.jsonl", folder / f"out{turn}"
        words: dict[str, list[object]] = {
            "score": ["score", *part, "--json", scores],
            "archive": ["archive", folder / "list.txt", out, "--address", address],
        }
        for name in words if turn % 2 == 0 else reversed(words):
            seconds, cpu_seconds = timed(words[name], cluster if name == "archive" else None)
            totals[name][0] += seconds
            totals[name][1] += cpu_seconds
            print(f"{name}, {len(part)} clips: {seconds:.1f} s, {cpu_seconds:.1f} CPU s", flush=True)
        expected |= scored_objects(scores)
        found |= archived_objects(out)
    row: dict[str, Any] = {
        "clips": len(clips),
        "turns": turns,
        "windows": sum(one["kind"] == "window" for objects in expected.values() for one in objects),
        "rows_equal": found == expected,
    }
    for name, (seconds, cpu_seconds) in totals.items():
        row |= {f"{name}_seconds": round(seconds, 1), f"{name}_cpu_seconds": round(cpu_seconds, 1)}
    row["throughput_ratio"] = round(totals["score"][0] / totals["archive"][0], 3)
    row["cpu_ratio"] = round(totals["score"][1] / totals["archive"][1], 3)
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--clip-seconds", type=float, default=4.0)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--made", type=Path, help="folder of clips that were made before, by the same options")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    cores = os.cpu_count() or 1
    # Who joins a cluster has to know its token.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": os.urandom(16).hex(), "RAY_USAGE_STATS_ENABLED": "0"}
    folder = Path(tempfile.mkdtemp())
    try:
        drawn: dict[str, Any] = {"duration_seconds": options.clip_seconds, "fps": Fraction(options.fps)}
        specs = draw_specs(options.clips, 7, max_offset_ms=400.0, plain=True, speech="synthetic", **drawn)
        made = options.made or folder / "clips"
        if options.made is None:
            generate(made, specs, workers=cores)
        clips = sorted(path for path in made.iterdir() if path.suffix not in (".jsonl", ".csv"))
        begin = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-P", "-c", CLUSTER, str(cores)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            start_seconds = time.perf_counter() - begin
            row = measured(clips, options.turns, folder, address, psutil.Process(process.pid))
            process.communicate()
    finally:
        shutil.rmtree(folder)
    row |= {
        "workers": cores,
        "clip_seconds": options.clip_seconds,
        "fps": options.fps,
        "cluster_start_seconds": round(start_seconds, 1),
    }
    row |= {"load_average": os.getloadavg()[1]} | measure.cpu_provenance("onnxruntime", "av", "ray")
    print(json.dumps(row))
    measure.append_rows(options.results, [row])


if __name__ == "__main__":
    main()
