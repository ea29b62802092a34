"""Measure what real footage is worth to the whole picture: the same training with none, a quarter, half and all of it.

    make learning-curve REAL=DATA

DATA is a folder with manifest.csv (columns path, use, split, kind, group, duration_s). The real footage is that of use
`train+test` and `research` whose split is `train`, taken by whole groups (speakers, recordings) of each use; a smaller
share is part of each larger one. All runs have as many steps, and real clips are as often among theirs, but for the run
without footage, which sees generated clips only. Measured are clips that none of the runs saw. The runs are for
research only, and nothing of them is shipped. Writes rows to benchmarks/results/learning_curve.jsonl, which
docs/images/draw_learning_curve.py draws. An interrupted run is resumed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import footage as clip_sets
import numpy as np
import torch
from steps import cavsync, link

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
import measure as benchmark

RESULTS = benchmark.RESULTS / "learning_curve.jsonl"
SEED = 0
SHARES = {"none": 0.0, "quarter": 0.25, "half": 0.5, "all": 1.0}
GENERATED = {
    "worlds": ("--clips", 120, "--seed", 4300, "--families", "worlds"),
    "drawings": ("--clips", 120, "--seed", 4100),
}
# Of 687 clips of an epoch, 447 are real: all of them three times, or a part of them more often.
REAL_VISITS = 447
UNSEEN = "unseen"
COLUMNS = ("path", "use", "split", "kind", "group", "duration_s")
USES = ("train+test", "research")
BASELINE = "motion against loudness"
KINDS = {"speech": ("speech",), "without speech": ("music", "impact", "ambient", "other")}


def choose(rows: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    """Return the clips of each share of the groups that may be trained on."""
    rows = [row for row in rows if row["use"] in USES and row["split"] == "train"]
    place: dict[str, float] = {}
    for use in USES:
        groups = sorted({row["group"] for row in rows if row["use"] == use})
        ranks = np.random.default_rng(0).permutation(len(groups))
        place |= {group: rank / len(groups) for group, rank in zip(groups, ranks, strict=True)}
    return {name: [row for row in rows if place[row["group"]] < share] for name, share in SHARES.items()}


def unseen(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the clips that `measure` tests: of no group that is trained on, and long enough to be scored."""
    kept = [row for row in rows if row["use"] in ("research", "test-only") and row["split"] in ("held", "")]
    return [row for row in kept if float(row["duration_s"]) >= clip_sets.MIN_SECONDS]


def train(out: Path, name: str, num_clips: int, steps: int) -> None:
    """Train the run of one share of the footage, or resume it."""
    clips = out / "clips"
    data, repeats = [clips / "worlds", clips / "drawings"], [1, 1]
    if num_clips:
        data, repeats = [*data, clips / name], [*repeats, round(REAL_VISITS / num_clips)]
    words = [word for folder in data for word in ("--data", folder)]
    changes = ("--set", f"repeats={json.dumps(repeats)}", "--set", f"max_steps={steps}", "--set", f"seed={SEED}")
    held_out = ("--held-out", clips / UNSEEN)
    cavsync("train", "--preset", "sync-tiny", *words, *held_out, "--out", out / name, *changes, "--resume")


def held_out(run: Path) -> dict[str, float]:
    """Return how well a run tells the moments of a clip apart, on all unseen clips; by chance 1 of 40 is right."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    found = next(record for record in map(json.loads, reversed(lines)) if "held_out_accuracy" in record)
    return {key: found[key] for key in ("held_out_accuracy", "held_out_loss")}


def measure(real: Path, out: Path, kinds: tuple[str, ...], report: Path) -> dict[str, Any]:
    """Return the figures of all runs, by method, on the unseen clips of these kinds."""
    runs = [word for name in SHARES for word in ("--model", out / name)]
    chosen = [word for kind in kinds for word in ("--only", f"kind={kind}")]
    cavsync("eval", "sync", real, *clip_sets.UNSEEN, *chosen, *runs, "--json", report)
    content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))["rows"]["kinds"]["all"]
    return content


def amount(footage: list[dict[str, str]]) -> dict[str, float]:
    """Return how many clips, groups and minutes some footage is."""
    minutes = sum(float(row["duration_s"]) for row in footage) / 60
    return {"clips": len(footage), "groups": len({row["group"] for row in footage}), "minutes": round(minutes, 2)}


def rows(kind: str, content: dict[str, Any], footage: dict[str, dict[str, float]], out: Path) -> list[dict[str, Any]]:
    """Return a row for each run and for the baseline, with how much footage it saw."""
    found = []
    for method, ways in content["methods"].items():
        if method not in footage and method != BASELINE:
            continue
        figures = ways["raw"]["all"]
        row = {"kind": kind, "method": method, "tested_clips": content["clips"], "footage": footage.get(method)}
        row |= {key: figures[key] for key in ("within_40_ms", "within_100_ms", "two_choice")}
        found.append(row | (held_out(out / method) if method in footage else {}))
    return found


def origin(steps: int) -> dict[str, Any]:
    """Return how long, on what, when and with which commit and seed the runs were made; all of them share the seed."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {"steps": steps, "seed": SEED, **benchmark.provenance(device)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder for clips, runs and reports")
    parser.add_argument("--steps", type=int, default=1000, help="steps of each run")
    parser.add_argument("--train-only", choices=SHARES, nargs="+", help="train these runs, and measure nothing")
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    out: Path = options.out.resolve()
    listed = clip_sets.manifest(options.real, COLUMNS)
    chosen = choose(listed)
    clip_sets.generate(out / "clips", GENERATED)
    for name, share in [*chosen.items(), (UNSEEN, unseen(listed))]:
        for row in share:
            link((options.real / row["path"]).resolve(), out / "clips" / name)
    for name in options.train_only or SHARES:
        train(out, name, len(chosen[name]), options.steps)
    if options.train_only:
        return
    footage = {name: amount(share) for name, share in chosen.items()}
    found = []
    for kind, kinds in KINDS.items():
        found += rows(kind, measure(options.real, out, kinds, out / f"{kind}.json"), footage, out)
    found = [row | origin(options.steps) for row in found]
    RESULTS.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    print(f"wrote {RESULTS}")


if __name__ == "__main__":
    main()
