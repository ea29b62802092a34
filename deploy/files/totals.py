"""Number of files per state over several files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from cavsync.deploy.files.row import FAILED, FileRow
from cavsync.deploy.verdict.records import STATES
from cavsync.deploy.verdict.words import STATE_WORDS


def totals(rows: Iterable[FileRow]) -> dict[str, int]:
    """Return the number of files by state (`STATES`), and under `failed` of those that could not be scored."""
    counts = Counter(row.state for row in rows)
    return {name: counts[name] for name in (*STATES, FAILED)}


def totals_sentence(rows: Iterable[FileRow]) -> str:
    """Return the totals as text: `3 in sync, 0 audio early, 1 audio late, 0 undetermined, 0 failed`."""
    return ", ".join(f"{count} {STATE_WORDS.get(name, name)}" for name, count in totals(rows).items())
