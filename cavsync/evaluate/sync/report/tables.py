"""The tables of a sync test: figures by method and offset, with and without the sources' own offsets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cavsync.evaluate.results.result import Cell, Table
from cavsync.evaluate.sync.report.cells import calibration_error, milliseconds, share
from cavsync.evaluate.sync.report.metrics import ALL_KINDS
from cavsync.evaluate.sync.report.source_offsets import MIN_CLIPS
from cavsync.evaluate.sync.two_choices import TWO_CHOICE_SHIFTS_MS

SHARES = {
    "within_40_ms": "≤ 40 ms",
    "within_100_ms": "≤ 100 ms",
    "within_120_ms": "≤ 120 ms",
    "decided": "decided",
    "right_among_decided": "decided: ≤ 120 ms",
}
FACE_SHARES = {"no_face": "no face", "rests_on_face": "rests on face"}
WAYS = {"raw": "", "without_source_offsets": ", without the sources' own offsets"}


def offset_tables(report: dict[str, Any]) -> Iterator[Table]:
    """Yield two tables per kind and way: one of errors and decisions, one of two choices."""
    for kind, content in report["kinds"].items():
        if kind != ALL_KINDS and len(report["kinds"]) == 2:
            continue
        size = f"{content['clips']} clips of {content['groups']} groups"
        for way, words in WAYS.items():
            yield from _tables(f"{kind}: {size}", words, content["methods"], way)


def _tables(title: str, words: str, methods: dict[str, Any], way: str) -> Iterator[Table]:
    rows = [(method, offset, found) for method, ways in methods.items() for offset, found in ways[way].items()]
    # Columns that say something about faces appear where a method has anything to do with them.
    faces = [name for name in FACE_SHARES if any(found[name]["mean"] for _, _, found in rows)]
    yield Table(
        title=f"{title}, offsets put into files{words}",
        columns=["", "offset, ms", *SHARES.values(), "median error", "ECE", *(FACE_SHARES[name] for name in faces)],
        rows=[
            [
                method,
                offset,
                *(share(found[name]) for name in SHARES),
                milliseconds(found["median_error_ms"]),
                calibration_error(found),
                *(share(found[name], "") for name in faces),
            ]
            for method, offset, found in rows
        ],
    )
    yield Table(
        title=f"{title}, two choices (chance 50 %){words}",
        columns=["", "offset, ms", *(f"{shift:.0f} ms" for shift in TWO_CHOICE_SHIFTS_MS)],
        rows=[
            [method, offset, *(share(one) for one in found["two_choice"].values())] for method, offset, found in rows
        ],
    )


def source_table(report: dict[str, Any]) -> Table:
    """Return the table of the sources: each one's own offset by every method, and what its removal changes."""
    rows: list[list[Cell]] = []
    for source, content in report["sources"].items():
        for method, found in content["methods"].items():
            figures = [found[way]["all"]["within_100_ms"] for way in WAYS]
            median = None if found["median_ms"] is None else f"{found['median_ms']:+.0f} ms"
            rows.append([source, content["clips"], method, median, *(share(figure) for figure in figures)])
    return Table(
        title=f"sources: median error with no offset put in (removed where a source has at least {MIN_CLIPS} clips)",
        columns=["source", "clips", "", "own offset", "≤ 100 ms", "≤ 100 ms without it"],
        rows=rows,
    )


def class_table(classes: dict[str, Any]) -> Table:
    """Return the table of the 21 classes."""
    return Table(
        title="21 classes within ±2 s",
        columns=["", "clips", "Acc@1", "±1 class"],
        rows=[
            [method, found["accuracy"]["clips"], share(found["accuracy"]), share(found["accuracy_within_1"])]
            for method, found in classes.items()
        ],
    )


def absolute_table(absolute: dict[str, Any]) -> Table:
    """Return the table of absolute offsets."""
    return Table(
        title="absolute offset of the clips as they are, in classes of 0.2 s",
        columns=["", "clips", "mean, s", "at 0", "±1 class", "no evidence"],
        rows=[
            [
                method,
                found["seconds"]["clips"],
                share(found["seconds"], "lower", ""),
                share(found["at_zero"]),
                share(found["within_1"]),
                share(found["no_evidence"], "lower"),
            ]
            for method, found in absolute.items()
        ],
    )


def wrong_sound_table(control: dict[str, Any]) -> Table:
    """Return the table of the control: whatever is decided there is wrong."""
    return Table(
        title="another clip's sound: nothing is in sync, so every decision is wrong",
        columns=["", "clips", "no face", "sound ends early", "decided", "confidence: median", "90 %", "99 %"],
        rows=[
            [
                method,
                found["clips"],
                found["no_face"],
                found["sound_is_shorter"],
                share(found["decided"], "lower"),
                *(found[f"confidence_p{percent}"] for percent in (50, 90, 99)),
            ]
            for method, found in control.items()
        ],
    )


def variant_table(variants: dict[str, Any]) -> Table:
    """Return the table of the variants of the picture, over the clips that are decided unchanged."""
    return Table(
        title="changed pictures: movement of the offset",
        columns=["", "variant", "clips", "median", "95th percentile", "became undetermined", "moved by > 20 ms"],
        rows=[
            [
                method,
                name,
                found["clips"],
                milliseconds(found["median_movement_ms"]),
                milliseconds(found["p95_movement_ms"]),
                share(found["became_undetermined"], "lower"),
                share(found["moved"], "lower"),
            ]
            for method, names in variants.items()
            for name, found in names.items()
        ],
    )
