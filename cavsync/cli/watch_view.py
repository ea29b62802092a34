"""The terminal view of `cavsync watch`: one line that is updated in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cavsync.file_names import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from cavsync.deploy.live import LiveStatus
    from cavsync.deploy.verdict.events import EventChange
    from cavsync.deploy.verdict.records import SyncScore

COLOURS = {"in_sync": "green", "audio_early": "red", "audio_late": "red", "undetermined": "yellow"}


class TerminalView:
    """A sink that keeps a line of verdict, confidence, path, lag and status on stderr, and prints events above it."""

    def __init__(self, source: str, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._source = source
        self._score: SyncScore | None = None
        self._status: LiveStatus | None = None
        console = console or Console(stderr=True)
        # stdout may carry JSON lines, which rich must not redirect.
        self._live = Live(self._line(), console=console, auto_refresh=False, redirect_stdout=False)
        self._live.start()

    def on_decision(self, source: str, score: SyncScore) -> None:
        """Show the decision."""
        del source
        self._score = score
        self._live.update(self._line(), refresh=True)

    def on_event(self, source: str, change: EventChange) -> None:
        """Print a line for the event."""
        from cavsync.deploy.verdict.words import event_words

        del source
        end_seconds = change.start_seconds if change.end_seconds is None else change.end_seconds
        self._live.console.print(f"{end_seconds:10.1f} s  {event_words(change)}", markup=False, highlight=False)

    def on_status(self, source: str, status: LiveStatus) -> None:
        """Show the status; print its message, if it has one, as a line of its own."""
        del source
        self._status = status
        if status.message:
            at = 0.0 if status.time_seconds is None else status.time_seconds
            self._live.console.print(f"{at:10.1f} s  {status.phase}: {status.message}", markup=False, highlight=False)
        self._live.update(self._line(), refresh=True)

    def close(self) -> None:
        """Stop updating; the last line stays."""
        self._live.stop()

    def _line(self) -> Text:
        from rich.text import Text

        from cavsync.deploy.verdict.words import headline

        line = Text(printable(self._source) + "  ", no_wrap=True, overflow="ellipsis")
        if self._score is None:
            line.append("no decision yet", "yellow")
        else:
            line.append(headline(self._score), COLOURS[self._score.state])
            confidence = self._score.confidence
            line.append("" if confidence is None else f"  confidence {confidence:.2f}")
            line.append(f"  {self._score.path}")
        status = self._status
        if status is not None:
            line.append("" if status.lag_seconds is None else f"  lag {status.lag_seconds:.1f} s")
            drift = status.drift_ms_per_minute
            line.append("" if drift is None else f"  drift {drift:+.1f} ms/min")
            line.append(f"  dropped {status.dropped_seconds:.1f} s" if status.dropped_packets else "")
        return line
