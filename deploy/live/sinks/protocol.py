"""What every sink of a live stream can do."""

from __future__ import annotations

from typing import Protocol

from cavsync.deploy.live.status import LiveStatus
from cavsync.deploy.verdict.events import EventChange
from cavsync.deploy.verdict.records import SyncScore


class LiveSink(Protocol):
    """Called from the thread that scores, so nothing here may wait. `source` is the address without its secrets."""

    def on_decision(self, source: str, score: SyncScore) -> None:
        """One decision."""

    def on_event(self, source: str, change: EventChange) -> None:
        """An event that began or ended."""

    def on_status(self, source: str, status: LiveStatus) -> None:
        """How the stream is doing: when something happened to it, and every few seconds."""

    def close(self) -> None:
        """The stream is over: write what is left. Safe to call twice."""
