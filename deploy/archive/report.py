"""The report of an archive: totals, offsets, the files to look at first; its memory does not grow with the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Template

from cavsync.deploy.files.row import FAILED
from cavsync.deploy.sinks.axes import Scale
from cavsync.deploy.sinks.html import page_environment
from cavsync.deploy.verdict.records import STATES, UNDETERMINED
from cavsync.deploy.verdict.words import STATE_WORDS
from cavsync.file_names import printable

COLUMNS = ["source", "state", "within_profile", "audio_offset_ms", "confidence", "duration_seconds", "error", "reason"]
MAX_LISTED = 200
BIN_MS = 20.0
REACH_MS = 1000.0


class _First:
    """The first `MAX_LISTED` rows by a key that no two have, and the number of all."""

    def __init__(self) -> None:
        self._kept: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.count = 0

    def add(self, key: tuple[Any, ...], row: dict[str, Any]) -> None:
        self.count += 1
        self._kept.append((key, row))
        if len(self._kept) >= 2 * MAX_LISTED:
            self._kept = self._sorted()

    def rows(self) -> list[dict[str, Any]]:
        return [row for _, row in self._sorted()]

    def _sorted(self) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return sorted(self._kept, key=lambda kept: kept[0])[:MAX_LISTED]


@dataclass
class Overview:
    """The report's figures of the verdicts."""

    counts: Counter[str] = field(default_factory=Counter)
    hours: float = 0.0
    bins: Counter[int] = field(default_factory=Counter)
    worst: _First = field(default_factory=_First)
    failures: _First = field(default_factory=_First)

    def add(self, row: dict[str, Any]) -> None:
        """Count a row with the columns `COLUMNS`."""
        self.counts[row["state"]] += 1
        self.hours += (row["duration_seconds"] or 0.0) / 3600
        if row["state"] == FAILED:
            self.failures.add((row["source"],), row)
            return
        offset_ms = row["audio_offset_ms"]
        if row["state"] == UNDETERMINED or offset_ms is None:
            return
        self.bins[round(min(max(offset_ms, -REACH_MS), REACH_MS) / BIN_MS)] += 1
        if row["within_profile"] is False:
            # Files of the same offset stand by name, so that which of them are listed depends on nothing else.
            self.worst.add((-abs(offset_ms), row["source"]), row)

    @property
    def totals(self) -> list[tuple[str, str, int]]:
        """State, words and number of files."""
        return [(name, STATE_WORDS.get(name, name), self.counts[name]) for name in (*STATES, FAILED)]

    def sentence(self) -> str:
        """The totals as `cavsync score` prints them."""
        return ", ".join(f"{count} {words}" for _, words, count in self.totals)


def overview_of(verdicts: Iterable[dict[str, Any]]) -> Overview:
    """Return the overview of rows with the columns `COLUMNS`."""
    overview = Overview()
    for row in verdicts:
        overview.add(row)
    return overview


def archive_page(overview: Overview, provenance: dict[str, Any]) -> Iterator[str]:
    """Yield the page in parts; everything from files is escaped."""
    worst = [
        {**row, "source": printable(row["source"]), "words": STATE_WORDS[row["state"]]} for row in overview.worst.rows()
    ]
    failures = [(printable(row["source"]), row["error"]) for row in overview.failures.rows()]
    settings = provenance["settings"]
    options = {name: value for name, value in settings.items() if name != "bundle" and value not in (None, False)}
    facts = [
        ("Source", printable(provenance["source"])),
        ("Bundle", "{name}, {precision}, sha256 {sha256}".format(**settings["bundle"])),
        ("Options", ", ".join(f"{name} {value}" for name, value in options.items())),
        ("Hours", f"{overview.hours:.1f}"),
    ]
    yield from _template().generate(
        num_files=overview.counts.total(),
        totals=overview.totals,
        bars=_bars(overview.bins),
        worst=worst,
        num_worst=overview.worst.count,
        failures=failures,
        num_failures=overview.failures.count,
        facts=facts,
    )


def _bars(bins: Counter[int]) -> dict[str, Any] | None:
    """Return the histogram of the offsets: rectangles, and the labels of both ends; None without any."""
    if not bins:
        return None
    reach_ms = BIN_MS * (max(map(abs, bins)) + 1)
    x, y = Scale.horizontal(-reach_ms, reach_ms), Scale.vertical(0.0, max(bins.values()))
    width = x(BIN_MS) - x(0.0)
    bars = [
        {"x": round(x(BIN_MS * (place - 0.5)), 1), "y": y(count), "width": round(width, 1), "height": y(0) - y(count)}
        for place, count in sorted(bins.items())
    ]
    ticks = [(x(value), f"{value:+.0f}" if value else "0") for value in (-reach_ms, 0.0, reach_ms)]
    return {
        "bars": bars,
        "ticks": ticks,
        "most": max(bins.values()),
        "is_cut": max(map(abs, bins)) * BIN_MS >= REACH_MS,
    }


@cache
def _template() -> Template:
    return page_environment(Path(__file__).parent).get_template("archive_report.html.j2")
