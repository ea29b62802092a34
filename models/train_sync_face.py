"""Build the face path of the bundle `sync-tiny` from real clips: train, export, test, write the model card.

    make sync-face REAL=DATA

DATA is a folder with manifest.csv (columns path, use, split, kind, group, source). Clips of use `train+test` are
trained on where their split is `train`, and calibrate the confidence where it is `held`; other clips are only measured.
The same training with a quarter and a half of the groups, and random weights, show what footage is worth. An
interrupted run is resumed.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from face_card import FOOT, HEAD, offsets_section, offsets_table, silent_section, variants_section
from steps import cavsync, link

from cavsync.atomic import atomic_folder
from cavsync.export import amend_card

LICENCE = (
    "Apache-2.0; trained on clips of GRID (Cooke, Barker, Cunningham and Shao 2006, CC BY 4.0) and HDTF (Zhang, Li, "
    "Ding and Fan 2021, CC BY 4.0)"
)
ALL, RANDOM = "sync-tiny", "random-weights"
SHARES = {"quarter-of-groups": 0.25, "half-of-groups": 0.5, ALL: 1.0}
# Clips of HDTF are longer, and its faces more varied.
REPEATS = {"grid": 1, "hdtf": 3}
PEOPLE, HELD, SILENT = "people", "held-out speakers", "clips without speech"
SPEECH = ("--only", "use=test-only", "--only", "use=research", "--only", "kind=speech")
NO_SPEECH = [word for kind in ("ambient", "impact", "music", "other") for word in ("--only", f"kind={kind}")]
# Clips of two seconds are scored, too.
WINDOW = ("--window-seconds", 2)
TESTS: dict[str, tuple[object, ...]] = {
    PEOPLE: (*SPEECH, *WINDOW, "--wrong-sound"),
    HELD: ("--only", "use=train+test", "--only", "split=held", *WINDOW, "--wrong-sound", "--variants", "all"),
    SILENT: ("--only", "use=research", *NO_SPEECH, "--offsets", "0"),
}
FOOTAGE = "footage"
UNTRAINED = ("--set", "max_steps=1", "--set", "learning_rate=1e-12", "--set", "group_offsets=false")


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


def train(out: Path, name: str, share: str, *changes: str) -> None:
    """Train on one share of the groups, or continue; faces are followed once for all runs."""
    sources = {corpus: folder for corpus in REPEATS if (folder := out / "clips" / share / corpus).exists()}
    data = [word for folder in sources.values() for word in ("--data", folder)]
    repeats = json.dumps([REPEATS[corpus] for corpus in sources])
    options = ("--set", f"repeats={repeats}", "--set", f"face_cache={out / 'faces'}", "--set", "workers=0", "--resume")
    held_out = ("--held-out", out / "clips" / "held")
    cavsync("train", "--preset", "sync-face", *data, *held_out, "--out", out / name, *options, *changes)


def export(out: Path, name: str, base: Path) -> Path:
    """Join the face model to the bundle `base`; return the new bundle."""
    bundle = out / "bundles" / name
    options = ("--storage", "half", "--overwrite", "--weights-licence", LICENCE)
    cavsync("export", out / name, "--bundle", base, "--out", bundle, *options)
    return bundle


def test(real: Path, out: Path, bundles: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Run all tests and return a report for each."""
    tests = {name: ("--bundle", bundles[ALL], *options) for name, options in TESTS.items()}
    others = [word for bundle in bundles.values() for word in ("--bundle", bundle)]
    tests[FOOTAGE] = (*others, "--path", "face", *SPEECH, *WINDOW)
    reports = {}
    for number, (name, options) in enumerate(tests.items()):
        path = out / f"test-{number}.json"
        cavsync("eval", "sync", real, *options, "--json", path)
        reports[name] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return reports


def card(reports: dict[str, dict[str, Any]]) -> str:
    """Return the measurements as Markdown."""
    changed = "Pictures changed (held-out speakers): movement of the offset of clips that are decided unchanged"
    lines = [
        "### Measured",
        HEAD,
        "",
        *offsets_section("People of other corpora (clips of 2 s and more)", reports[PEOPLE]),
        *offsets_section("Held-out speakers of GRID and HDTF, which also calibrated it", reports[HELD]),
        "**How much footage: the same training on a part of the groups, and random weights**",
        "",
        *offsets_table(reports[FOOTAGE]),
        *variants_section(changed, reports[HELD]),
        *silent_section(
            "Clips without speech (music, impacts, ambience and others), no offset put in", reports[SILENT]
        ),
        FOOT,
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs, bundles and reports")
    parser.add_argument("--steps", type=int, help="train so few steps, to try this out")
    options = parser.parse_args()
    out, shipped = options.out.resolve(), Path(__file__).resolve().parent / "sync-tiny"
    link_clips(options.real, out / "clips")
    changes = () if options.steps is None else ("--set", f"max_steps={options.steps}")
    train(out, RANDOM, ALL, *UNTRAINED)
    bundles = {RANDOM: export(out, RANDOM, shipped)}
    for name in SHARES:
        train(out, name, name, *changes)
        bundles[name] = export(out, name, shipped)
    reports = test(options.real, out, bundles)
    (out / "measured.json").write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    amend_card(bundles[ALL], card(reports))
    with atomic_folder(shipped) as fresh:
        shutil.copytree(bundles[ALL], fresh, dirs_exist_ok=True)
    print(f"wrote {shipped}")


if __name__ == "__main__":
    main()
