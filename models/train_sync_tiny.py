"""Build the bundle `sync-tiny` from seeds and real clips: generate, train, export, test, write the model card.

    make sync-tiny REAL=DATA

DATA is a folder with manifest.csv (columns path, use, kind). Clips of use `train+test` are trained on, except held-out
speakers; clips of use `test-only` are only measured. An interrupted run is resumed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
from pathlib import Path

import torch
from steps import cavsync, link, percent

from cavsync.export import amend_card
from cavsync.export.calibrate import MAX_CLIPS
from cavsync.media.files import find_media
from cavsync.model import CAVMAESync
from cavsync.model.checkpoint import save_model
from cavsync.train import preset

LICENCE = (
    "Apache-2.0; trained on generated clips (ours) and on clips of GRID (Cooke, Barker, Cunningham and Shao 2006, "
    "CC BY 4.0) and HDTF (Zhang, Li, Ding and Fan 2021, CC BY 4.0)"
)
# File name prefixes of held-out speakers, never trained on: GRID speaker 4 and another woman, one HDTF speaker.
HELD_OUT_SPEAKERS = ("s4_", "lwbsza", "brbk7n", "WDA_BobMenendez")
GENERATED = {
    "generated": ["--clips", "900", "--seed", "4100"],
    "faces": ["--clips", "300", "--seed", "4200", "--families", "face"],
    "held-out-generated": ["--clips", "40", "--seed", "990000"],
    "test-generated": ["--clips", "120", "--seed", "991000", "--max-offset-ms", "800"],
}
SOURCES = ("generated", "faces", "grid", "hdtf")
REPEATS = [1, 1, 5, 15]
HELD_OUT = ("held-out-generated", "held-out-real")


# Offsets put into the clips of the tests, in ms; the generated ones have offsets of their own, within ±800 ms.
OFFSETS = {"generated": "0", "real": "0,200,-200,400,-400"}


MEASURED = """\
Shares in % with 95 % intervals over groups of clips. Offsets (0, ±200 and ±400 ms; in generated clips their own,
within ±800 ms) were put in by shifting timestamps, and the copies scored as files. `40 ms` and `100 ms` count
estimates whether the verdict decides on them or not. `decided` says on how many it would, and `right` how many of
those are within 120 ms. Two-choice, in the last columns: is the clip in sync, or the clip shifted (both ways)? The
unseen real speakers were tested with a calibration on generated clips only."""


def link_real_clips(real: Path, clips: Path) -> None:
    """Link the real clips into folders by data set, with held-out speakers apart."""
    with (real / "manifest.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["use"] == "train+test"]
    for row in rows:
        path = (real / row["path"]).resolve()
        held_out = path.name.startswith(HELD_OUT_SPEAKERS)
        link(path, clips / ("held-out-real" if held_out else "hdtf" if "hdtf" in row["path"] else "grid"))


def make_clips(real: Path, clips: Path) -> None:
    """Generate and link all clips for training, calibration and tests."""
    for name, options in GENERATED.items():
        if not (clips / name / "truth.jsonl").is_file():
            cavsync("data", "synth", clips / name, *options, "--overwrite")
    link_real_clips(real, clips)
    # All held-out real clips, filled up with generated ones to the number that calibration uses.
    chosen = find_media(clips / "held-out-real")
    chosen += find_media(clips / "held-out-generated")[: MAX_CLIPS - len(chosen)]
    for path in chosen:
        link(path.resolve(), clips / "calibration")


def train(clips: Path, run: Path, minutes: float) -> None:
    """Train the run; an hour on two cores."""
    data = [word for name in SOURCES for word in ("--data", clips / name)]
    held_out = [word for name in HELD_OUT for word in ("--held-out", clips / name)]
    options = ("--set", f"repeats={json.dumps(REPEATS)}", "--max-minutes", minutes, "--resume")
    cavsync("train", "--preset", "sync-tiny", *data, *held_out, "--out", run, *options)


def export(run: Path, random_run: Path, out: Path, clips: Path) -> None:
    """Export the bundle, and one of the same model untrained."""
    options = ("--storage", "int8", "--overwrite")
    named = ("--name", "sync-tiny", "--weights-licence", LICENCE, "--calibration", clips / "calibration")
    cavsync("export", run, "--out", out / "sync-tiny", *named, *options)
    # Held-out real speakers can only be tested with a calibration that has not seen them.
    apart = ("--name", "sync-tiny", "--weights-licence", LICENCE, "--calibration", clips / "held-out-generated")
    cavsync("export", run, "--out", out / "calibrated-on-generated" / "sync-tiny", *apart, *options)
    if not random_run.exists():
        torch.manual_seed(0)
        save_model(CAVMAESync(preset("sync-tiny")[0]), random_run, 0)
    cavsync("export", random_run, "--out", out / "random-weights", "--calibration", "none", *options)


def test(real: Path, clips: Path, out: Path) -> dict[str, dict[str, object]]:
    """Run all tests and return a report per set of clips."""
    apart = out / "calibrated-on-generated" / "sync-tiny"
    generated, filmed = (("--offsets", OFFSETS[kind]) for kind in ("generated", "real"))
    sets = {
        "generated clips, unseen": (out / "sync-tiny", clips / "test-generated", *generated),
        "real speakers, unseen": (apart, clips / "held-out-real", *filmed),
        "other real clips": (out / "sync-tiny", real, "--only", "use=test-only", *filmed),
    }
    reports = {}
    for number, (name, (bundle, *chosen)) in enumerate(sets.items()):
        path = out / f"test-{number}.json"
        cavsync("eval", "sync", *chosen, "--bundle", bundle, "--bundle", out / "random-weights", "--json", path)
        reports[name] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return reports


def card(reports: dict[str, dict[str, object]]) -> str:
    """Return the measurements as Markdown."""
    lines = ["## Measured", MEASURED, ""]
    for name, report in reports.items():
        for kind, content in report["kinds"].items():  # type: ignore[attr-defined]
            lines += [f"**{name}: {kind}**, {content['clips']} clips", ""]
            shifts = " | ".join(f"{shift:.0f} ms" for shift in report["shifts_ms"])  # type: ignore[attr-defined]
            lines += [f"| | 40 ms | 100 ms | median error | decided | right | {shifts} |", "|---" * 11 + "|"]
            for method, ways in content["methods"].items():
                found = ways["raw"]["all"]
                shares = [found[key] for key in ("within_40_ms", "within_100_ms", "decided", "right_among_decided")]
                shares += found["two_choice"].values()
                cells = [percent(share) for share in shares]
                median = found["median_error_ms"]["mean"]
                cells.insert(2, "-" if median is None else f"{median:.0f} ms")
                lines.append(f"| {method} | {' | '.join(cells)} |")
            lines.append("")
    lines += ["## Made with", "`make sync-tiny REAL=DATA` (models/train_sync_tiny.py), seed 0."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder for clips, run, bundles and reports")
    parser.add_argument("--minutes", type=float, default=60.0, help="time to train")
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    out: Path = options.out.resolve()
    make_clips(options.real, out / "clips")
    train(out / "clips", out / "run", options.minutes)
    export(out / "run", out / "random-run", out, out / "clips")
    reports = test(options.real, out / "clips", out)
    amend_card(out / "sync-tiny", card(reports))
    (out / "measured.json").write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    shipped = Path(__file__).resolve().parent / "sync-tiny"
    if shipped.exists():
        shutil.rmtree(shipped)
    shutil.copytree(out / "sync-tiny", shipped)
    print(f"wrote {shipped}")


if __name__ == "__main__":
    main()
