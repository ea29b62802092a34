"""Draw docs/images/learning-curve.svg from benchmarks/results/learning_curve.jsonl.

    python docs/images/draw_learning_curve.py

Accuracy on clips that no run saw against the minutes of real footage that a run was trained on, with 95 % intervals.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

IMAGES = Path(__file__).resolve().parent
RESULTS = IMAGES.parents[1] / "benchmarks" / "results" / "learning_curve.jsonl"
OUT = IMAGES / "learning-curve.svg"
PANELS = {"speech": "people talking", "without speech": "music, impacts and other sounds"}
BASELINE = "motion against loudness"


def percent(found: dict[str, float]) -> tuple[float, float, float]:
    """Return a share and how far its interval reaches below and above it, all in percent."""
    mean, low, high = (100 * found[key] for key in ("mean", "low", "high"))
    return mean, mean - low, high - mean


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw a panel per kind of clip: the runs over minutes of footage, and the baseline as a line across."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (kind, title) in zip(panels, PANELS.items(), strict=True):
        of_kind = [row for row in rows if row["kind"] == kind]
        runs = sorted((row for row in of_kind if row["footage"]), key=lambda row: row["footage"]["minutes"])
        minutes = [row["footage"]["minutes"] for row in runs]
        means, below, above = zip(*(percent(row["within_100_ms"]) for row in runs), strict=True)
        axes.errorbar(minutes, means, (below, above), marker="o", capsize=3, label="trained on so much footage")
        (level,) = (percent(row["within_100_ms"])[0] for row in of_kind if row["method"] == BASELINE)
        axes.axhline(level, color="0.5", linestyle="--", label=BASELINE)
        for row, mean in zip(runs, means, strict=True):
            groups = f"{row['footage']['groups']} groups"
            axes.annotate(groups, (row["footage"]["minutes"], mean), (4, 6), textcoords="offset points", fontsize=8)
        axes.set(title=f"{title}: {runs[0]['tested_clips']} clips", xlabel="real footage trained on (minutes)")
        axes.set_ylim(0, 100)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("offsets found within 100 ms (%)")
    panels[0].legend(fontsize=8, loc="upper left")
    # Neither the date nor random names, so that the same rows give the same file.
    with mpl.rc_context({"svg.hashsalt": "cavsync"}):
        figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    draw([json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()], OUT)
