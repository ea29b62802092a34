"""Decisions of a bundle on real clips: how many are decided, and whether they follow known shifts of the audio.

Reads a folder with manifest.csv (columns path, kind). Each clip is scored unchanged, when it is assumed to be in sync,
and with its audio shifted by known amounts. Prints a table per kind and appends a row with provenance to
benchmarks/results/real_clips.jsonl.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from cavsync.deploy import Bundle, SyncScore, score_file
from cavsync.errors import MediaError

RESULTS = Path(__file__).parent / "results" / "real_clips.jsonl"
SHIFTS_MS = (-500.0, -200.0, 200.0, 500.0)
TOLERANCE_MS = 120.0


def is_near(score: SyncScore, shift_ms: float) -> bool:
    """Return whether a score finds the shift: audio delayed by x has the offset -x."""
    return score.audio_offset_ms is not None and abs(score.audio_offset_ms + shift_ms) <= TOLERANCE_MS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    bundle = Bundle.open(options.bundle)
    states: Counter[str] = Counter()
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    with (options.data / "manifest.csv").open(encoding="utf-8") as table:
        clips = list(csv.DictReader(table))
    for clip in clips:
        path = options.data / clip["path"]
        try:
            states[score_file(path, bundle).summary.score.state] += 1
        except MediaError as error:
            states["too short" if "shorter than one window" in str(error) else str(error)] += 1
            continue
        for shift_ms in SHIFTS_MS:
            score = score_file(path, bundle, audio_shift_ms=shift_ms).summary.score
            counts[clip["kind"]] += Counter(
                scored=1,
                estimate_right=is_near(score, shift_ms),
                decided=score.state != "undetermined",
                decided_right=score.state != "undetermined" and is_near(score, shift_ms),
            )
    row = {
        "date": datetime.now(UTC).date().isoformat(),
        "model": bundle.manifest.name,
        "trained_on": bundle.manifest.source["trained_on"],
        "threshold": None if bundle.manifest.calibration is None else bundle.manifest.calibration.threshold,
        "clips": len(clips),
        "states_unshifted": dict(states),
        "shifts_ms": SHIFTS_MS,
        "tolerance_ms": TOLERANCE_MS,
        "by_kind": {kind: dict(found) for kind, found in sorted(counts.items())},
        "versions": {name: version(name) for name in ("cavsync", "onnxruntime", "av")},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as out:
        out.write(json.dumps(row) + "\n")
    print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
