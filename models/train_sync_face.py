"""Build the face path of the bundle `sync-tiny` from real clips: train, export, test, write the model card.

    make sync-face REAL=DATA

DATA is a folder with manifest.csv (columns path, use, split, kind, group, source). Clips of use `train+test` are
trained on where their split is `train`, and calibrate the confidence where it is `held`; other clips are only measured.
The same training with a quarter and a half of the groups shows what more footage is worth. An interrupted run is
resumed.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from steps import cavsync, link, percent

from cavsync.atomic import atomic_folder
from cavsync.export import amend_card

LICENCE = (
    "Apache-2.0; trained on clips of GRID (Cooke, Barker, Cunningham and Shao 2006, CC BY 4.0) and HDTF (Zhang, Li, "
    "Ding and Fan 2021, CC BY 4.0)"
)
SHARES = {"quarter": 0.25, "half": 0.5, "all": 1.0}
# Clips of HDTF are longer, and its faces more varied.
REPEATS = {"grid": 1, "hdtf": 3}
SETS = {
    "people of other corpora": ("--only", "use=test-only", "--only", "kind=speech"),
    "held-out speakers": ("--only", "use=train+test", "--only", "split=held"),
}
CONTROL = "clips without speech"
# Clips of two seconds are scored, too.
WINDOW = ("--window-seconds", 2)
FIGURES = (
    *("within_40_ms", "within_100_ms", "within_120_ms", "decided", "right_among_decided"),
    "no_face",
)
HEADINGS = ("40 ms", "100 ms", "120 ms", "decided", "right", "no face")

MEASURED = """\
Shares in % with 95 % intervals over groups of clips. Offsets of 0, ±200 and ±400 ms were put into copies of the files
by shifting timestamps, and the copies were scored as files; the offset that a source of footage has of its own, its
median over at least three clips, was taken out. Estimates count whether the verdict is decided or not; `decided` says
how many are, and `right` how many of those are within 120 ms. Clips that show no face are left out of the face path's
figures."""


def link_clips(real: Path, clips: Path) -> None:
    """Link the clips to train on into a folder per share, corpus and source, and those held out into one per source."""
    with (real / "manifest.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["use"] == "train+test"]
    groups = sorted({row["group"] for row in rows if row["split"] == "train"})
    order = {groups[place]: rank for rank, place in enumerate(np.random.default_rng(0).permutation(len(groups)))}
    for row in rows:
        path, source = (real / row["path"]).resolve(), row["source"].replace("/", "_")
        if row["split"] == "held":
            link(path, clips / "held" / source)
        if row["split"] != "train":
            continue
        corpus = "hdtf" if "hdtf" in row["path"].lower() else "grid"
        for name, share in SHARES.items():
            if order[row["group"]] < share * len(groups):
                link(path, clips / name / corpus / source)


def train(out: Path, name: str, steps: int | None) -> None:
    """Train on one share of the groups, or continue; faces are followed once for all shares."""
    sources = {corpus: folder for corpus in REPEATS if (folder := out / "clips" / name / corpus).exists()}
    data = [word for folder in sources.values() for word in ("--data", folder)]
    repeats = json.dumps([REPEATS[corpus] for corpus in sources])
    options = ("--set", f"repeats={repeats}", "--set", f"face_cache={out / 'faces'}", "--set", "workers=0", "--resume")
    options += () if steps is None else ("--set", f"max_steps={steps}")
    run = out / name
    cavsync("train", "--preset", "sync-face", *data, "--held-out", out / "clips" / "held", "--out", run, *options)


def export(out: Path, name: str, base: Path) -> Path:
    """Join the face model to the bundle `base`; return the new bundle."""
    bundle = out / "bundles" / name
    options = ("--storage", "half", "--overwrite", "--weights-licence", LICENCE)
    cavsync("export", out / name, "--bundle", base, "--out", bundle, *options)
    return bundle


def test(real: Path, out: Path, bundles: dict[str, Path]) -> dict[str, Any]:
    """Run all tests and return a report per set of clips."""
    reports = {}
    for number, (name, chosen) in enumerate(SETS.items()):
        path = out / f"test-{number}.json"
        cavsync("eval", "sync", real, *chosen, "--bundle", bundles["all"], *WINDOW, "--wrong-sound", "--json", path)
        reports[name] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    path = out / "footage.json"
    others = [word for name in ("quarter", "half", "all") for word in ("--bundle", bundles[name])]
    cavsync("eval", "sync", real, *SETS["people of other corpora"], *others, "--path", "face", *WINDOW, "--json", path)
    reports["footage"] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    path = out / "control.json"
    silent = ("--only", "use=research", "--only", "split=held", "--offsets", "0")
    cavsync("eval", "sync", real, *silent, "--bundle", bundles["all"], "--json", path)
    reports[CONTROL] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return reports


def card(reports: dict[str, Any]) -> str:
    """Return the measurements as Markdown."""
    lines = ["### Measured", MEASURED, ""]
    for name in SETS:
        report = reports[name]
        lines += [f"**{name}**", "", *_table(report["kinds"]["all"], report["shifts_ms"])]
        (control,) = (found for method, found in report["wrong_sound"].items() if method.endswith(", face"))
        decided = f"{percent(control['decided'])} % of {control['clips']} were decided"
        lines += [f"With another clip's sound {decided} on the face path.", ""]
    lines += ["**footage: the same training on a quarter, a half and all of the groups**", ""]
    lines += [*_table(reports["footage"]["kinds"]["all"], reports["footage"]["shifts_ms"])]
    lines += [f"**{CONTROL}** (real, not generated)", "", *_table(reports[CONTROL]["kinds"]["all"], [])]
    lines += ["Made with `make sync-face REAL=DATA` (models/train_sync_face.py), seed 0.", ""]
    return "\n".join(lines)


def _table(content: dict[str, Any], shifts_ms: list[float]) -> list[str]:
    """Return a table of the methods' shares; the last columns tell in sync from shifted by so many ms."""
    heads = [*HEADINGS, *(f"two-choice {shift:.0f} ms" for shift in shifts_ms)]
    lines = [f"| {content['clips']} clips | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for method, ways in content["methods"].items():
        found = ways["without_source_offsets"]["all"]
        shares = [found[key] for key in FIGURES] + (list(found["two_choice"].values()) if shifts_ms else [])
        lines.append(f"| {method} | {' | '.join(map(percent, shares))} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs, bundles and reports")
    parser.add_argument("--steps", type=int, help="train so few steps, to try this out")
    options = parser.parse_args()
    out, shipped = options.out.resolve(), Path(__file__).resolve().parent / "sync-tiny"
    link_clips(options.real, out / "clips")
    bundles = {}
    for name in SHARES:
        train(out, name, options.steps)
        bundles[name] = export(out, name, shipped)
    reports = test(options.real, out, bundles)
    (out / "measured.json").write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    amend_card(bundles["all"], card(reports))
    with atomic_folder(shipped) as fresh:
        shutil.copytree(bundles["all"], fresh, dirs_exist_ok=True)
    print(f"wrote {shipped}")


if __name__ == "__main__":
    main()
