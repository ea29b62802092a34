"""The interface of a live stream's sinks, and the sink that calls Python functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cavsync.deploy.live.status import LiveStatus
from cavsync.deploy.verdict.events import EventChange
from cavsync.deploy.verdict.records import SyncScore


class LiveSink(Protocol):
    """Receiver of a stream's reports, called from the scoring thread: its methods must not block.

    `source` is the address with its secrets masked. Subclasses inherit methods that do nothing.
    """

    def on_decision(self, source: str, score: SyncScore) -> None:
        """Receive a decision."""
        del source, score

    def on_event(self, source: str, change: EventChange) -> None:
        """Receive an event that began or ended."""
        del source, change

    def on_status(self, source: str, status: LiveStatus) -> None:
        """Receive the status, sent at every change and every few seconds."""
        del source, status

    def close(self) -> None:
        """Write everything pending and release resources at the end of the stream. Safe to call twice."""
        return


class CallbackSink(LiveSink):
    """Calls the given functions. An exception that one of them raises ends the watch."""

    def __init__(
        self,
        *,
        decision: Callable[[SyncScore], object] | None = None,
        event: Callable[[EventChange], object] | None = None,
        status: Callable[[LiveStatus], object] | None = None,
    ) -> None:
        self._decision = decision
        self._event = event
        self._status = status

    def on_decision(self, source: str, score: SyncScore) -> None:
        """Call `decision`, if given."""
        del source
        if self._decision is not None:
            self._decision(score)

    def on_event(self, source: str, change: EventChange) -> None:
        """Call `event`, if given."""
        del source
        if self._event is not None:
            self._event(change)

    def on_status(self, source: str, status: LiveStatus) -> None:
        """Call `status`, if given."""
        del source
        if self._status is not None:
            self._status(status)
