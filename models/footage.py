"""The clips that the whole picture's models are trained, calibrated and tested on, as folders of links."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from steps import cavsync, link

TRAINING = {
    "worlds": ["--clips", "360", "--seed", "4300", "--families", "worlds"],
    "drawings": ["--clips", "240", "--seed", "4100"],
    "held-out-worlds": ["--clips", "27", "--seed", "990100", "--families", "worlds"],
}
"""Generated clips to train on and to calibrate with, by folder: options of `cavsync data synth`."""
TESTING = {"test-worlds": ["--clips", "54", "--seed", "991100", "--families", "worlds", "--max-offset-ms", "800"]}
"""Generated clips to test on."""
# Of research footage, so many groups of the training split are kept for calibration.
CALIBRATION_EVERY = 7
# So long are the clips that are tested, at least: a window of the whole picture.
MIN_SECONDS = 2.5
UNSEEN: tuple[str, ...] = (
    *("--only", "use=research", "--only", "use=test-only", "--only", "split=held", "--only", "split="),
    *("--min-seconds", str(MIN_SECONDS)),
)
"""Options of `cavsync eval sync` for the real clips of which no training saw any."""


def generate(clips: Path, generated: Mapping[str, Sequence[object]]) -> None:
    """Generate the folders of clips that are not there yet, by the options of `cavsync data synth` for each.

    It takes about 30 minutes of one core for what sync-tiny is trained on.
    """
    for name, options in generated.items():
        if not (clips / name / "truth.jsonl").is_file():
            cavsync("data", "synth", clips / name, *options, "--workers", os.cpu_count() or 2, "--overwrite")


def manifest(real: Path) -> list[dict[str, str]]:
    """Return the rows of manifest.csv of a folder of real clips."""
    with (real / "manifest.csv").open(encoding="utf-8") as table:
        return list(csv.DictReader(table))


def make_clips(real: Path, clips: Path, generated: Mapping[str, Sequence[object]]) -> None:
    """Generate clips, and link those of `real` (a folder with manifest.csv) into folders by use and split."""
    generate(clips, generated)
    rows = manifest(real)
    groups = sorted({row["group"] for row in rows if row["use"] == "research" and row["split"] == "train"})
    apart = set(groups[::CALIBRATION_EVERY])
    for row in rows:
        path = (real / row["path"]).resolve()
        if row["use"] == "train+test":
            link(path, clips / ("talking" if row["split"] == "train" else "held-out-talking"))
        elif row["use"] == "research" and row["split"] == "train":
            link(path, clips / ("held-out-research" if row["group"] in apart else "research"))
