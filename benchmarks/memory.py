"""Check that memory stays flat over hours of one stream: two simulated hours by default, at full speed.

The shipped model scores a repeated generated clip (160x90, 25 Hz, 48 kHz stereo). The resident memory is recorded once
per simulated minute; after a warm-up of a tenth, its least-squares slope must stay below MOST_MB_PER_HOUR. Appends a
row to results/memory.jsonl.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import material
import measure
import numpy as np
from rich.progress import track

from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.runtime.default_bundle import default_bundle

RESULTS = measure.RESULTS / "memory.jsonl"
MOST_MB_PER_HOUR = 2.0
WARM_UP_SHARE = 0.1


def slope_mb_per_hour(minutes: np.ndarray[Any, Any], resident_mb: np.ndarray[Any, Any]) -> float:
    """Return the least-squares growth."""
    return float(np.polyfit(minutes / 60, resident_mb, 1)[0])


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=120, help="length of the stream")
    parser.add_argument("--bundle", type=Path, help="bundle to measure (default: the shipped model)")
    parser.add_argument("--clip-seconds", type=float, default=20.0, help="length of the repeated clip")
    parser.add_argument("--family", choices=material.FAMILIES, default="face", help="what the clip shows")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    clip = material.material(options.clip_seconds, 160, 90, options.family)
    bundle = Bundle.open(options.bundle or default_bundle())
    scorer = SyncScorer(bundle)
    frames_per_minute = 60 * material.FRAME_RATE_HZ
    resident_mb, num_decisions = [], 0
    begin = time.perf_counter()
    for minute in track(range(options.minutes), "minutes of the stream", transient=True):
        for index in range(minute * frames_per_minute, (minute + 1) * frames_per_minute):
            num_decisions += len(clip.push(scorer, index))
        resident_mb.append(measure.memory_mb("VmRSS"))
    after = round(WARM_UP_SHARE * options.minutes)
    kept = np.array(resident_mb[after:])
    row = {
        "model": bundle.manifest.name,
        "family": options.family,
        "minutes": options.minutes,
        "decisions": num_decisions,
        "seconds": round(time.perf_counter() - begin, 1),
        "resident_mb": [round(value, 1) for value in resident_mb],
        "mb_per_hour": round(slope_mb_per_hour(np.arange(len(kept)), kept), 3),
        "spread_mb": round(float(np.ptp(kept)), 1),
        "most_mb_per_hour": MOST_MB_PER_HOUR,
    }
    row["is_flat"] = row["mb_per_hour"] <= MOST_MB_PER_HOUR
    print(f"{options.minutes} minutes: {kept[0]:.0f} MiB after the warm-up, {kept[-1]:.0f} at the end, ", end="")
    print(f"{row['mb_per_hour']:+.2f} MiB per hour: {'flat' if row['is_flat'] else 'growing'}")
    # Last, because this imports torch, which scoring does not need.
    measure.append_rows(options.results, [row | measure.cpu_provenance("onnxruntime", "av", "numpy")])
    return [row]


if __name__ == "__main__":
    main()
