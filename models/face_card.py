"""The measurements of the face path as Markdown for the model card, from the reports of `cavsync eval sync`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from steps import percent

Report = Mapping[str, Any]
FIGURES = {
    "within_40_ms": "40 ms",
    "within_100_ms": "100 ms",
    "within_120_ms": "120 ms",
    "decided": "decided",
    "right_among_decided": "right",
    "no_face": "no face",
}
# Estimates as they are, and without the constant offset of each source of footage.
WAYS = {"raw": " (raw)", "without_source_offsets": ""}
HEAD = """\
Shares are in %, with 95 % intervals over groups of clips. Offsets of 0, ±200 and ±400 ms were put into copies of the
files by shifting timestamps, and the copies were scored as files. Except in the rows `(raw)`, the constant offset of
each source of footage, its median over at least three clips, was subtracted. Estimates count whether they are decided
or not; `decided` is the share that is, and `right` the share of those within 120 ms. Clips without a face count in the
rows `auto` (both paths) and `whole` (the whole picture), but not in the rows `face`. ECE is the expected calibration
error of the confidences of all files, decided or not."""
FOOT = """\
**Limits.** Faces with less than 16 pixels between the eyes are not measured. No face is found in clips that show only a
mouth, nor for long enough in the two animated ones. At most three faces are followed at a time; if the frame holds
more, the speaker may not be among them. No clip shows a profile throughout, and none is known to show singing.

Made with `make sync-face REAL=DATA` (models/train_sync_face.py, models/face_card.py), seed 0."""


def offsets_section(title: str, report: Report) -> Iterator[str]:
    """Yield the lines on a test with offsets: all methods, sources, and another clip's sound where it was tested."""
    yield from (f"**{title}**", "")
    yield from offsets_table(report)
    yield from sources_table(report)
    yield from control_table(report)


def offsets_table(report: Report) -> Iterator[str]:
    """Yield the table of the methods' shares over all offsets; the last columns tell in sync from shifted."""
    content = report["kinds"]["all"]
    heads = [*FIGURES.values(), "ECE", *(f"two-choice {shift:.0f} ms" for shift in report["shifts_ms"])]
    yield from table_head(f"{content['clips']} clips", *heads)
    for method, ways in content["methods"].items():
        for way, words in WAYS.items():
            yield f"| {method}{words} | {' | '.join(offset_cells(ways[way]['all']))} |"
    yield ""


def offset_cells(found: Mapping[str, Any]) -> list[str]:
    """Format the figures of one method."""
    calibration = found["calibration"]
    ece = "-" if calibration is None else two_digits(calibration["expected_calibration_error"])
    return [*(percent(found[key]) for key in FIGURES), ece, *map(percent, found["two_choice"].values())]


def sources_table(report: Report) -> Iterator[str]:
    """Yield the table of the offset that each source of footage has of its own, by the methods that learned."""
    sources = report["sources"]
    methods = [name for name in next(iter(sources.values()))["methods"] if "," in name]
    yield from ("Median error of each source with no offset put in (positive: audio early):", "")
    yield from table_head("source", "clips", *methods)
    for source, content in sources.items():
        medians = (content["methods"][method]["median_ms"] for method in methods)
        cells = ("-" if median is None else f"{median:+.0f} ms" for median in medians)
        yield f"| {source} | {content['clips']} | {' | '.join(cells)} |"
    yield ""


def control_table(report: Report) -> Iterator[str]:
    """Yield the table of the decisions on another clip's sound; nothing where that was not tested."""
    if not report["wrong_sound"]:
        return
    yield from ("With another clip's sound, where every decision is wrong:", "")
    yield from table_head("", "clips", "decided", "median confidence")
    for method, found in report["wrong_sound"].items():
        median = "-" if found["confidence_p50"] is None else f"{found['confidence_p50']:.2f}"
        yield f"| {method} | {found['clips']} | {percent(found['decided'])} | {median} |"
    yield ""


def variants_section(title: str, report: Report) -> Iterator[str]:
    """Yield the table of how far offsets on the face path move when the picture is changed."""
    (names,) = (names for method, names in report["variants"].items() if method.endswith(", face"))
    yield from (f"**{title}**", "")
    yield from table_head("", "clips", "median", "95th percentile", "became undetermined", "moved by > 20 ms")
    for name, found in names.items():
        moves = (found[key]["mean"] for key in ("median_movement_ms", "p95_movement_ms"))
        cells = ["-" if move is None else f"{move:.0f} ms" for move in moves]
        cells += [percent(found["became_undetermined"]), percent(found["moved"])]
        yield f"| {name} | {found['clips']} | {' | '.join(cells)} |"
    yield ""


def silent_section(title: str, report: Report) -> Iterator[str]:
    """Yield the table of the decisions on clips without speech, with no offset put in."""
    content = report["kinds"]["all"]
    yield from (f"**{title}**", "")
    yield from table_head(f"{content['clips']} clips", "no face", "decided", "right within 120 ms", "rests on a face")
    for method, ways in content["methods"].items():
        found = ways["raw"]["all"]
        if found["decided"]["mean"] is not None or found["no_face"]["mean"]:
            cells = (percent(found[key]) for key in ("no_face", "decided", "right_among_decided", "rests_on_face"))
            yield f"| {method} | {' | '.join(cells)} |"
    yield ""


def table_head(*heads: str) -> tuple[str, str]:
    """Return the first two lines of a table."""
    return f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"


def two_digits(share: Mapping[str, float | None]) -> str:
    """Format a number with its interval."""
    mean, low, high = share["mean"], share["low"], share["high"]
    ends = "" if low is None or high is None else f" ({low:.2f}-{high:.2f})"
    return "-" if mean is None else f"{mean:.2f}{ends}"
