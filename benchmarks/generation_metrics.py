"""What LSE, JavisScore and AV-Align say of real clips with their own sound and with that of another clip.

Reads a folder with manifest.csv (columns path, kind, group, split, duration_s) and measures held-out clips of a kind by
the shipped model. Figures that tell sounds that belong from sounds that do not are worth reporting. Appends a row to
results/generation_metrics.jsonl.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import measure

from cavsync.deploy import Bundle
from cavsync.evaluate.sync.files.swapped_file import write_swapped_file
from cavsync.evaluate.sync.generation.measures import GENERATION_METRICS, Generation, measured

RESULTS = measure.RESULTS / "generation_metrics.jsonl"
MIN_SECONDS = 2.5


def figures(found: Sequence[Generation], name: str) -> dict[str, Any]:
    """Return the mean of each figure over the clips with evidence, and their number."""
    lips, windows = [one.lips[name] for one in found], [one.windows[name] for one in found]
    values = {
        "lse_d": [one.distance for one in lips],
        "lse_c": [one.confidence for one in lips],
        "javis_score": [one.lowest for one in windows],
        "avh_score": [one.overall for one in windows],
        "av_align": [None if one.peaks is None else one.peaks.iou for one in found],
    }
    known = {key: [value for value in column if value is not None] for key, column in values.items()}
    return {key: {"mean": round(fmean(column), 3), "clips": len(column)} for key, column in known.items() if column}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kind", default="speech")
    parser.add_argument("--clips", type=int, default=16, help="clips to measure, at most")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    with (options.data / "manifest.csv").open(encoding="utf-8") as table:
        held = [row for row in csv.DictReader(table) if row["split"] == "held" and row["kind"] == options.kind]
    rows = [row for row in held if float(row["duration_s"]) >= MIN_SECONDS][: options.clips]
    bundle = Bundle.open()
    name = bundle.manifest.name
    own, swapped = [], []
    for number, row in enumerate(rows):
        path = options.data / row["path"]
        other = next(one for one in rows[number + 1 :] + rows[:number] if one["group"] != row["group"])
        own.append(measured({name: bundle}, path, GENERATION_METRICS))
        with tempfile.TemporaryDirectory() as folder:
            file = write_swapped_file(path, options.data / other["path"], Path(folder))
            swapped.append(measured({name: bundle}, file, GENERATION_METRICS))
    found = {
        "model": name,
        "kind": options.kind,
        "clips": len(rows),
        "own_sound": figures(own, name),
        "another_sound": figures(swapped, name),
    }
    print(found)
    measure.append_rows(options.results, [found | measure.cpu_provenance("onnxruntime", "av", "numpy")])


if __name__ == "__main__":
    main()
