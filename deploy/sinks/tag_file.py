"""Files of classes over time: JSON lines, a CSV table (RFC 4180) or WebVTT cues, written window by window."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from cavsync.atomic import atomic_path
from cavsync.deploy.files.tags import NO_AUDIO, TagTotals, TagWindow
from cavsync.deploy.sinks.text import VTT_HEADER, csv_cell, json_text, vtt_time

COLUMNS = (
    *("kind", "source", "start_seconds", "end_seconds", "frames", "class", "probability"),
    *("highest", "highest_start_seconds", "reason"),
)
DIGITS = 6


@contextmanager
def tag_file(
    target: Path, kind: str, source: str, classes: Sequence[str], top: int, min_probability: float
) -> Iterator[TagWriter]:
    """Open a writer of the kind `jsonl`, `csv` or `vtt`, whose file appears at `target` if the block ends without an
    error.

    Of each window, and at the end of the whole file, it names at most `top` of the `classes`, those of at least
    `min_probability`, the likeliest first. OSError where the file cannot be written.
    """
    with atomic_path(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = TagWriter(stream, kind, source, classes, top, min_probability)
        yield writer
        writer.finish()


@dataclass
class TagWriter:
    """Takes the windows of a file in order of time; see `tag_file`."""

    stream: TextIO
    kind: str
    source: str
    classes: Sequence[str]
    top: int
    min_probability: float

    def __post_init__(self) -> None:
        self._totals = TagTotals()
        self.stream.write({"jsonl": "", "csv": ",".join(COLUMNS) + "\r\n", "vtt": VTT_HEADER}[self.kind])

    def write(self, window: TagWindow) -> None:
        """Append a window."""
        self._totals.add(window)
        times = {"start_seconds": round(window.start_seconds, DIGITS), "end_seconds": round(window.end_seconds, DIGITS)}
        found = [self._named(place, window.probabilities) for place in self._chosen(window.probabilities)]
        self._put({"kind": "window", "source": self.source, **times, "frames": window.num_frames}, found)

    def finish(self) -> None:
        """Append the classes of the whole file."""
        totals, mean = self._totals, self._totals.mean
        found = [
            {
                **self._named(place, mean),
                "highest": round(float(totals.highest[place]), DIGITS),
                "highest_start_seconds": round(float(totals.highest_start_seconds[place]), DIGITS),
            }
            for place in self._chosen(mean)
        ]
        self._put({"kind": "file", "source": self.source, "frames": totals.num_frames}, found)

    def _chosen(self, probabilities: NDArray[np.float64] | None) -> list[int]:
        if probabilities is None:
            return []
        ranked = np.argsort(-probabilities, kind="stable")[: self.top]
        return [int(place) for place in ranked if probabilities[place] >= self.min_probability]

    def _named(self, place: int, probabilities: NDArray[np.float64] | None) -> dict[str, Any]:
        assert probabilities is not None
        return {"class": self.classes[place], "probability": round(float(probabilities[place]), DIGITS)}

    def _put(self, row: dict[str, Any], found: list[dict[str, Any]]) -> None:
        reason = {} if row["frames"] else {"reason": NO_AUDIO}
        if self.kind == "jsonl":
            self.stream.write(json_text({**row, "classes": found, **reason}) + "\n")
        elif self.kind == "csv":
            self.stream.write("".join(_csv_row({**row, **cells, **reason}) for cells in found or [{}]))
        elif found:
            text = _vtt_escaped(", ".join(f"{one['class']} {one['probability']:.2f}" for one in found))
            is_file = row["kind"] == "file"
            head = (
                "NOTE whole file:"
                if is_file
                else f"{vtt_time(row['start_seconds'])} --> {vtt_time(row['end_seconds'])}"
            )
            self.stream.write(f"\n{head}\n{text}\n")


def _csv_row(row: dict[str, Any]) -> str:
    out = io.StringIO()
    csv.DictWriter(out, COLUMNS, restval="").writerow({name: csv_cell(value) for name, value in row.items()})
    return out.getvalue()


def _vtt_escaped(text: str) -> str:
    """Escape what has a meaning in a cue."""
    for character, escape in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", " "), ("\n", " ")):
        text = text.replace(character, escape)
    return text
