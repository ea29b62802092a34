"""Lines of `cavsync watch` on a stderr that is not a terminal."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cavsync.deploy.live import LiveStatus
    from cavsync.deploy.verdict.events import EventChange
    from cavsync.deploy.verdict.records import SyncScore

LINE_SECONDS = 30.0
"""Time between two lines, of those without news."""


class StatusLines:
    """A sink that writes each message, each event, and every `LINE_SECONDS` the latest verdict as a line on stderr."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._due = 0.0

    def on_decision(self, source: str, score: SyncScore) -> None:
        """Write the verdict if the last line is old enough."""
        from cavsync.deploy.verdict.words import headline

        del source
        if monotonic() >= self._due:
            self._write(score.time_seconds, headline(score))

    def on_event(self, source: str, change: EventChange) -> None:
        """Write a line for the event."""
        from cavsync.deploy.verdict.words import event_words

        del source
        end_seconds = change.start_seconds if change.end_seconds is None else change.end_seconds
        self._write(end_seconds, event_words(change))

    def on_status(self, source: str, status: LiveStatus) -> None:
        """Write the status if it has a message."""
        del source
        if status.message:
            self._write(status.time_seconds or 0.0, f"{status.phase}: {status.message}")

    def close(self) -> None:
        """Nothing is held back."""

    def _write(self, time_seconds: float, words: str) -> None:
        self._due = monotonic() + LINE_SECONDS
        click.echo(f"{self._source}  {time_seconds:.1f} s  {words}", err=True)
