"""Number of files per state over several files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from cavsync.deploy.files.score_file import FileFailure, Outcome
from cavsync.deploy.verdict.records import STATES
from cavsync.deploy.verdict.words import STATE_WORDS

FAILED = "failed"


def totals(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Return the number of files by state (`STATES`), and under `failed` of those that could not be scored."""
    counts = Counter(
        FAILED if isinstance(outcome, FileFailure) else outcome.summary.score.state for outcome in outcomes
    )
    return {name: counts[name] for name in (*STATES, FAILED)}


def totals_sentence(outcomes: Iterable[Outcome]) -> str:
    """Return the totals as text: `3 in sync, 0 audio early, 1 audio late, 0 undetermined, 0 failed`."""
    return ", ".join(f"{count} {STATE_WORDS.get(name, name)}" for name, count in totals(outcomes).items())
