"""Several files in one line: how many are in sync, early, late, undetermined, and how many could not be scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from cavsync.deploy.files.score_file import FileFailure, Outcome
from cavsync.deploy.verdict.records import STATES
from cavsync.deploy.verdict.words import STATE_WORDS

FAILED = "failed"


def totals(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Number of files by state (`STATES`), and of those that `failed`."""
    counts = Counter(
        FAILED if isinstance(outcome, FileFailure) else outcome.summary.score.state for outcome in outcomes
    )
    return {name: counts[name] for name in (*STATES, FAILED)}


def totals_sentence(outcomes: Iterable[Outcome]) -> str:
    """As in `3 in sync, 0 audio early, 1 audio late, 0 undetermined, 0 failed`."""
    return ", ".join(f"{count} {STATE_WORDS.get(name, name)}" for name, count in totals(outcomes).items())
