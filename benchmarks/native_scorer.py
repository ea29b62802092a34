"""Measure `cavsync-score` beside `cavsync score`: peak memory, CPU time, and how soon libcavsync decides.

Both score one clip with one thread, one after the other, several times; then a fresh process opens the bundle, and
makes its first and a second scorer decide. Appends a row to results/native_scorer.jsonl.

    python benchmarks/native_scorer.py --build build/native/deploy/native CLIP
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measure

from cavsync.deploy.native import LIBRARY_VARIABLE
from cavsync.deploy.runtime.default_bundle import default_bundle

RESULTS = measure.RESULTS / "native_scorer.jsonl"
# Apart, because its libraries would take more memory in this process than what is measured.
START_UP = Path(__file__).with_name("native_start_up.py")
SAME = ("state", "reason", "audio_offset_ms", "path", "num_windows")


def run(command: Sequence[str | Path]) -> dict[str, Any]:
    """Run a program; return its peak memory and CPU time, and the last of its JSON lines."""
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen([str(word) for word in command], stdout=output, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise SystemExit(f"{command[0]} failed with status {child.returncode}: run it by hand")
        output.seek(0)
        summary = json.loads(output.read().splitlines()[-1])
    # A child starts with the peak of the process that it was split from.
    if usage.ru_maxrss / 1024 <= measure.memory_mb("VmHWM"):
        raise SystemExit(f"the peak of {command[0]} is hidden by this process's own")
    cpu_seconds = usage.ru_utime + usage.ru_stime
    kept = {name: summary[name] for name in SAME}
    return {"mb": usage.ru_maxrss * 1024 / 1e6, "cpu_seconds": cpu_seconds, "summary": kept}


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--build", type=Path, required=True, help="folder of libcavsync.so and cavsync-score")
    parser.add_argument("--path", choices=("auto", "face", "whole"), default="auto")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    common = ["--path", options.path, "--threads", "1", options.clip]
    programs: dict[str, list[str | Path]] = {
        "native": [options.build / "cavsync-score", "--bundle", default_bundle(), *common],
        "python": [Path(sys.executable).with_name("cavsync"), "score", "--json", "-", *common],
    }
    turns = [{name: run(command) for name, command in programs.items()} for _ in range(options.turns)]
    again = [sys.executable, START_UP, "--path", options.path, options.clip]
    environment = os.environ | {LIBRARY_VARIABLE: str(options.build / "libcavsync.so.1")}
    starts = [
        json.loads(subprocess.run(again, env=environment, check=True, capture_output=True).stdout)
        for _ in range(options.turns)
    ]
    listed = subprocess.run([programs["native"][0], "--engines"], check=True, capture_output=True, text=True).stdout
    row: dict[str, Any] = {"path": options.path, "engines": [line.split()[0] for line in listed.splitlines()]}
    row |= {"clip": options.clip.name, "turns": options.turns}
    for name in programs:
        row[f"{name}_mb"] = [round(turn[name]["mb"], 1) for turn in turns]
        row[f"{name}_cpu_seconds"] = [round(turn[name]["cpu_seconds"], 2) for turn in turns]
    for number in ("mb", "cpu_seconds"):
        row[f"{number}_ratio"] = round(
            statistics.median(row[f"native_{number}"]) / statistics.median(row[f"python_{number}"]), 3
        )
    row["is_same"] = all(turn["native"]["summary"] == turn["python"]["summary"] for turn in turns)
    row |= {name: statistics.median(start[name] for start in starts) for name in starts[0]}
    print(json.dumps(row, indent=1))
    measure.append_rows(options.results, [row | measure.cpu_provenance("onnxruntime", "av", "numpy")])
    return [row]


if __name__ == "__main__":
    main()
