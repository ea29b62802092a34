"""JSON lines, CSV and WebVTT of a live stream: every line is complete and on its way when it is written."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TextIO

from cavsync.deploy.live.status import LiveStatus
from cavsync.deploy.sinks.csv_table import header_text, row_text
from cavsync.deploy.sinks.jsonl import json_line
from cavsync.deploy.sinks.vtt import HEADER, cue
from cavsync.deploy.verdict.events import EventChange
from cavsync.deploy.verdict.records import SyncScore
from cavsync.errors import ConfigError, DataError


class _TextSink:
    """A file that grows, or an open stream such as stdout, which stays open.

    Raises:
        ConfigError: the file cannot be opened, or may not be added to.
        DataError: while writing: the disk is full, or the like.
    """

    def __init__(self, target: Path | str | TextIO, *, may_exist: bool = True) -> None:
        self._stream: TextIO
        self._is_ours = isinstance(target, Path | str)
        if isinstance(target, Path | str):
            try:
                self._stream = Path(target).open("a", encoding="utf-8", newline="")  # noqa: SIM115
            except OSError as error:
                raise ConfigError(f"{target} cannot be written ({error.strerror}): give a file that is yours") from None
            if self._stream.tell() > 0 and not may_exist:
                self._stream.close()
                raise ConfigError(f"{target} exists already and cannot be added to: give another name")
        else:
            self._stream = target

    def on_decision(self, source: str, score: SyncScore) -> None:
        """Nothing, unless a format has a place for it."""

    def on_event(self, source: str, change: EventChange) -> None:
        """Nothing, unless a format has a place for it."""

    def on_status(self, source: str, status: LiveStatus) -> None:
        """Nothing, unless a format has a place for it."""

    def close(self) -> None:
        """Close the file; a stream of somebody else's is left open."""
        if self._is_ours:
            # Every line was flushed: what cannot be closed has lost nothing.
            with contextlib.suppress(OSError):
                self._stream.close()

    def _is_new(self) -> bool:
        return not self._is_ours or self._stream.tell() == 0

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise DataError(
                f"{getattr(self._stream, 'name', 'the output')} cannot be written ({error.strerror}): make room and "
                "start again"
            ) from None


class JsonLinesSink(_TextSink):
    """One object per line; `kind` is `window` for a decision, `event` or `status`. A file that exists is added to."""

    def on_decision(self, source: str, score: SyncScore) -> None:
        """Write a decision."""
        self._write(json_line({"kind": "window", "source": source, **score.to_dict()}))

    def on_event(self, source: str, change: EventChange) -> None:
        """Write an event that began or ended."""
        self._write(json_line({"kind": "event", "source": source, **change.to_dict()}))

    def on_status(self, source: str, status: LiveStatus) -> None:
        """Write a status."""
        self._write(json_line({"kind": "status", "source": source, **status.to_dict()}))


class CsvSink(_TextSink):
    """The table of `cavsync score`, a row per decision. A file that exists is added to."""

    def __init__(self, target: Path | str | TextIO) -> None:
        super().__init__(target)
        if self._is_new():
            self._write(header_text())

    def on_decision(self, source: str, score: SyncScore) -> None:
        """Write a decision."""
        self._write(row_text({"kind": "window", "source": source, **score.to_dict()}))


class VttSink(_TextSink):
    """One cue per decision, from the decision before to its own time. A new file only: cues are of one timeline."""

    def __init__(self, target: Path | str | TextIO) -> None:
        super().__init__(target, may_exist=False)
        self._last_seconds: float | None = None
        self._write(HEADER)

    def on_decision(self, source: str, score: SyncScore) -> None:
        """Write a cue."""
        del source
        first_seconds = score.time_seconds - score.window_seconds
        start_seconds = first_seconds if self._last_seconds is None else max(first_seconds, self._last_seconds)
        self._write("\n" + cue(start_seconds, score))
        self._last_seconds = score.time_seconds
