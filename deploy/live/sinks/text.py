"""JSON lines, CSV and WebVTT of a live stream, flushed after every entry."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, TextIO

from cavsync.deploy.live.sinks.protocol import LiveSink
from cavsync.deploy.live.status import LiveStatus
from cavsync.deploy.sinks.text import CSV_HEADER, VTT_HEADER, csv_row, json_text, vtt_cue, window_object
from cavsync.deploy.verdict.events import EventChange
from cavsync.deploy.verdict.records import SyncScore
from cavsync.errors import ConfigError, DataError


class _TextSink(LiveSink):
    """Appends to a file, or writes to an open stream such as stdout, which it leaves open.

    Raises:
        ConfigError: the file cannot be opened, or exists and must not be appended to (`may_exist` is False).
        DataError: while writing: the output cannot be written, for example because the disk is full.
    """

    def __init__(self, target: Path | str | TextIO, *, may_exist: bool = True) -> None:
        self._stream: TextIO
        self._owns_stream = isinstance(target, Path | str)
        if isinstance(target, Path | str):
            try:
                self._stream = Path(target).open("a", encoding="utf-8", newline="")  # noqa: SIM115
            except OSError as error:
                raise ConfigError(f"{target} cannot be written ({error.strerror}): give a writable file") from None
            if self._stream.tell() > 0 and not may_exist:
                self._stream.close()
                raise ConfigError(f"{target} exists already and cannot be appended to: give another name")
        else:
            self._stream = target

    def close(self) -> None:
        """Close the file; a stream passed in is left open."""
        if self._owns_stream:
            # Every line was flushed, so a failure to close loses nothing.
            with contextlib.suppress(OSError):
                self._stream.close()

    def _is_new(self) -> bool:
        return not self._owns_stream or self._stream.tell() == 0

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise DataError(
                f"{getattr(self._stream, 'name', 'the output')} cannot be written ({error.strerror}): free some "
                "space and start again"
            ) from None


class JsonLinesSink(_TextSink):
    """One object per line; `kind` is `window` for a decision, `event` or `status`. An existing file is appended to."""

    def on_decision(self, source: str, score: SyncScore) -> None:
        """Write a decision."""
        self._write_object(window_object(source, score))

    def on_event(self, source: str, change: EventChange) -> None:
        """Write the start or end of an event."""
        self._write_object({"kind": "event", "source": source, **change.to_dict()})

    def on_status(self, source: str, status: LiveStatus) -> None:
        """Write a status."""
        self._write_object({"kind": "status", "source": source, **status.to_dict()})

    def _write_object(self, item: dict[str, Any]) -> None:
        self._write(json_text(item) + "\n")


class CsvSink(_TextSink):
    """The table of `cavsync score`, a row per decision. An existing file is appended to."""

    def __init__(self, target: Path | str | TextIO) -> None:
        super().__init__(target)
        if self._is_new():
            self._write(CSV_HEADER)

    def on_decision(self, source: str, score: SyncScore) -> None:
        """Write a decision."""
        self._write(csv_row(window_object(source, score)))


class VttSink(_TextSink):
    """One cue per decision, from the previous decision's time to its own. The file must be new: it has one timeline."""

    def __init__(self, target: Path | str | TextIO) -> None:
        super().__init__(target, may_exist=False)
        self._last_seconds: float | None = None
        self._write(VTT_HEADER)

    def on_decision(self, source: str, score: SyncScore) -> None:
        """Write a cue."""
        del source
        first_seconds = score.time_seconds - score.window_seconds
        start_seconds = first_seconds if self._last_seconds is None else max(first_seconds, self._last_seconds)
        self._write("\n" + vtt_cue(start_seconds, score))
        self._last_seconds = score.time_seconds
