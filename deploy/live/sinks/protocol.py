"""The interface of a live stream's sinks."""

from __future__ import annotations

from typing import Protocol

from cavsync.deploy.live.status import LiveStatus
from cavsync.deploy.verdict.events import EventChange
from cavsync.deploy.verdict.records import SyncScore


class LiveSink(Protocol):
    """Receiver of a stream's reports, called from the scoring thread: its methods must not block.

    `source` is the address with its secrets masked.
    """

    def on_decision(self, source: str, score: SyncScore) -> None:
        """Receive a decision."""

    def on_event(self, source: str, change: EventChange) -> None:
        """Receive an event that began or ended."""

    def on_status(self, source: str, status: LiveStatus) -> None:
        """Receive the status, sent at every change and every few seconds."""

    def close(self) -> None:
        """Write everything pending and release resources at the end of the stream. Safe to call twice."""
