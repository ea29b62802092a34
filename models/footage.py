"""The clips that the whole picture's models are trained, calibrated and tested on, as folders of links."""

from __future__ import annotations

import csv
import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from steps import cavsync, link

COLUMNS = ("path", "use", "split", "kind", "group", "source", "licence")
"""What manifest.csv of a folder of real clips says of each clip."""
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

    It takes about 30 minutes for what sync-tiny is trained on, on a busy machine with two cores.
    """
    for name, options in generated.items():
        if not (clips / name / "truth.jsonl").is_file():
            cavsync("data", "synth", clips / name, *options, "--workers", os.cpu_count() or 2, "--overwrite")


def manifest(real: Path, columns: Sequence[str] = COLUMNS) -> list[dict[str, str]]:
    """Return the rows of manifest.csv of a folder of real clips.

    SystemExit where it is missing, lacks one of the columns, or names a file that is not there.
    """
    path = real / "manifest.csv"
    try:
        with path.open(encoding="utf-8", newline="") as table:
            reader = csv.DictReader(table)
            rows, named = list(reader), reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        sys.exit(f"'{path}' cannot be read ({error}): name a folder of real clips with manifest.csv as REAL or --real.")
    for column in columns:
        if column not in named:
            sys.exit(f"'{path}' has no column '{column}', but needs {', '.join(columns)}: add it.")
    for number, row in enumerate(rows, start=1):
        if any(row[column] is None for column in columns):
            sys.exit(f"Row {number} of '{path}' is shorter than its header: complete it.")
        if not (real / row["path"]).is_file():
            sys.exit(f"'{path}' names '{row['path']}', which is not there: add the file, or take out its row.")
    return rows


def make_clips(real: Path, clips: Path, generated: Mapping[str, Sequence[object]]) -> None:
    """Generate clips, and link those of `real` (a folder with manifest.csv) into folders by use and split.

    SystemExit, before anything is generated, where manifest.csv cannot be used.
    """
    folders = sort(manifest(real))
    for name, what in {"talking": "train", "held-out-talking": "another one, such as held"}.items():
        if not folders.get(name):
            sys.exit(f"'{real / 'manifest.csv'}' names no clip of use train+test whose split is {what}: add some.")
    generate(clips, generated)
    for name, rows in folders.items():
        for row in rows:
            link((real / row["path"]).resolve(), clips / name)


def sort(rows: Sequence[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    """Return the real clips to train on and to calibrate with, by folder."""
    groups = sorted({row["group"] for row in rows if row["use"] == "research" and row["split"] == "train"})
    apart = set(groups[::CALIBRATION_EVERY])
    folders: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        if row["use"] == "train+test":
            folders["talking" if row["split"] == "train" else "held-out-talking"].append(row)
        elif row["use"] == "research" and row["split"] == "train":
            folders["held-out-research" if row["group"] in apart else "research"].append(row)
    return folders
