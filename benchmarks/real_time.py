"""Speed of scoring in seconds of computing per second of media, on all cores of this machine.

Measures the published size in int8 (1.6 frames/s, 200 ms hop, ±2 s; random weights) and the shipped model (25 frames/s,
40 ms hop, ±0.8 s; by both paths, on a clip with a face unless told otherwise), each twice: decoded frames and audio
pushed into a scorer, and a file (H.264, AAC) scored by a `cavsync score` process, including its start, opening and
decoding. Appends rows to results/real_time.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import material
import measure
import random_models

from cavsync.data.synth import write_clip
from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.runtime.default_bundle import default_bundle

RESULTS = measure.RESULTS / "real_time.jsonl"
# The kernel's peak for a child process includes its parent's memory; the one in its own status does not.
SCORE = """
import atexit, pathlib, sys
status = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: status.write_text(pathlib.Path("/proc/self/status").read_text()))
from cavsync.cli.main import main
main()
"""


@dataclass(frozen=True)
class Case:
    """A bundle, the search range to use, and the allowed seconds per second of media."""

    name: str
    bundle: Path
    max_offset_ms: float
    wanted: float


def cases(names: Sequence[str]) -> list[Case]:
    """Return the cases of these names; exports the bundle of the published size if it does not exist yet."""
    found = []
    if random_models.SYNC_TINY in names:
        found.append(Case(random_models.SYNC_TINY, default_bundle(), 800.0, 0.2))
    if random_models.PUBLISHED in names:
        bundle = random_models.random_bundle(random_models.PUBLISHED, "int8")
        found.append(Case(random_models.PUBLISHED, bundle, 2000.0, 0.5))
    return found


def pushed(case: Case, engine: str, clip: material.Material, media_seconds: float, turns: int) -> dict[str, Any]:
    """Measure decoded frames and audio pushed into a scorer: the median of several turns."""
    bundle = Bundle.open(case.bundle, engine=engine)
    scorer = SyncScorer(bundle, max_offset_ms=case.max_offset_ms)
    times = []
    for _ in range(turns):
        scorer.reset()
        times.append(material.seconds_to_push(scorer, clip, media_seconds))
    return {"seconds": statistics.median(times), "all_seconds": [round(seconds, 2) for seconds in times]}


def whole_file(case: Case, engine: str, media: Path) -> dict[str, Any]:
    """Measure `cavsync score` on a file, and its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        scores, status = Path(folder, "scores.jsonl"), Path(folder, "status")
        command = [sys.executable, "-P", "-c", SCORE, str(status), "score", str(media), "--bundle", str(case.bundle)]
        command += ["--engine", engine, "--max-offset-ms", str(case.max_offset_ms), "--json", str(scores)]
        begin = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - begin
        if done.returncode:
            raise SystemExit(done.stderr)
        summary = json.loads(scores.read_text(encoding="utf-8").splitlines()[-1])
        peak_mb = round(measure.memory_mb("VmHWM", status))
    return {"seconds": seconds, "media_seconds": summary["duration_seconds"], "peak_memory_mb": peak_mb}


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=[random_models.SYNC_TINY, random_models.PUBLISHED])
    parser.add_argument("--engine", default="onnxruntime", help="as `cavsync score --engine`")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of media")
    parser.add_argument("--clip-seconds", type=float, default=10.0, help="length of the repeated clip")
    parser.add_argument("--size", type=int, nargs=2, default=[640, 360])
    parser.add_argument("--family", choices=material.FAMILIES, default="face", help="what the clip shows")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    width, height = options.size
    clip = material.material(options.clip_seconds, width, height, options.family)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        media = Path(name, "media.mkv")
        write_clip(material.clip_spec(options.clip_seconds, width, height, options.family), Path(name, "clip.mp4"))
        material.repeat_clip(Path(name, "clip.mp4"), media, max(1, round(options.seconds / options.clip_seconds)))
        for case in cases(options.models):
            measured = {
                "decoded": pushed(case, options.engine, clip, options.seconds, options.turns),
                "file": whole_file(case, options.engine, media),
            }
            for source, found in measured.items():
                row = {
                    "model": case.name,
                    "family": options.family,
                    "engine": options.engine,
                    "source": source,
                    "size": options.size,
                }
                row |= {"media_seconds": options.seconds, **found, "wanted": case.wanted}
                row["seconds_per_media_second"] = round(row["seconds"] / row["media_seconds"], 4)
                row["seconds"] = round(row["seconds"], 2)
                rows.append(row)
                holds = "holds" if row["seconds_per_media_second"] <= case.wanted else "missed"
                print(f"{case.name}, {source}: {row['seconds_per_media_second']:.3f} s per second of media", end="")
                print(f" (wanted: at most {case.wanted}, {holds})", flush=True)
    facts = measure.cpu_provenance("onnxruntime", "openvino", "av")
    measure.append_rows(options.results, [row | facts for row in rows])
    return rows


if __name__ == "__main__":
    main()
