"""The measurements of the whole picture's path as Markdown for the model card, from reports of `cavsync eval sync`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from face_card import control_table, table_head
from steps import percent

Report = Mapping[str, Any]
FIGURES = {"within_40_ms": "40 ms", "within_100_ms": "100 ms", "decided": "decided", "right_among_decided": "right"}
HEAD = """\
Shares are in %, with 95 % intervals over groups of clips. Offsets (0, ±200 and ±400 ms; generated clips have their own,
within ±800 ms) were put into copies of the files by shifting timestamps, and the copies were scored as files, on the
whole picture alone. `40 ms` and `100 ms` are the shares of estimates with at most this error, decided or not.
`decided` is the share of files that are decided, and `right` the share of those within 120 ms. The last columns are
two-choice tests: which is in sync, the clip or the clip shifted by this much (either way)? `shipped-before` is the
bundle that came with the package before this one."""


def measured(name: str, reports: Mapping[str, Report], minutes: float) -> str:
    """Return the section on all tests of the bundle `name`, which was trained for so many minutes."""
    lines = ["## Measured", HEAD, ""]
    for title, report in reports.items():
        for kind in report["kinds"]:
            lines += _kind_table(title, kind, report)
        lines += control_table(report)
    lines += [
        "## Made with",
        f"`make {name} REAL=DATA MINUTES={minutes:g}` (models/train_whole_picture.py, models/footage.py), seed 0.",
    ]
    return "\n".join(lines) + "\n"


def footage(clips: Iterable[Mapping[str, str]]) -> str:
    """Return the section on the real clips that were trained on: rows of manifest.csv."""
    counts = Counter((clip["source"], clip["licence"]) for clip in clips)
    lines = [
        "## Footage",
        "Real clips used for training or calibration, besides generated ones, and the repositories that hold them:",
        "",
    ]
    lines += [*table_head("source", "clips", "terms")]
    lines += [f"| {source} | {count} | {terms} |" for (source, terms), count in sorted(counts.items())]
    return "\n".join(lines) + "\n"


def _kind_table(title: str, kind: str, report: Report) -> Iterator[str]:
    content = report["kinds"][kind]
    yield from (f"**{title}: {kind}**", "")
    heads = [*FIGURES.values(), "median error", *(f"{shift:.0f} ms" for shift in report["shifts_ms"])]
    yield from table_head(f"{content['clips']} clips", *heads)
    for method, ways in content["methods"].items():
        found = ways["raw"]["all"]
        median = found["median_error_ms"]["mean"]
        cells = [percent(found[key]) for key in FIGURES]
        cells += ["-" if median is None else f"{median:.0f} ms", *map(percent, found["two_choice"].values())]
        yield f"| {method} | {' | '.join(cells)} |"
    yield ""
