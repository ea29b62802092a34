"""The record of clips that an interrupted command has written, so that the next one writes only the others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

NAME = "truth.part.jsonl"


class UnfinishedSet:
    """The file with the truth records of the clips that are complete, in the order in which they were finished.

    Its first line names the set by a hash of `wanted`: what is known of each clip before it is rendered.
    """

    def __init__(self, folder: Path, wanted: Sequence[dict[str, Any]], masks: int) -> None:
        self._folder, self._file = folder, folder / NAME
        text = json.dumps([masks, list(wanted)], sort_keys=True)
        self._head = json.dumps({"set": hashlib.sha256(text.encode()).hexdigest()})
        self._places = {str(record["file"]): place for place, record in enumerate(wanted)}

    def is_there(self) -> bool:
        """Return whether an interrupted run wrote this very set."""
        return self._file.exists() and self._lines()[:1] == [self._head]

    def records(self) -> dict[int, dict[str, Any]]:
        """Return the records of the complete clips by their place in the set."""
        complete = (record for record in self.of_any_set() if (self._folder / str(record["file"])).is_file())
        return {self._places[str(record["file"])]: record for record in complete}

    def of_any_set(self) -> list[dict[str, Any]]:
        """Return the records of the complete clips of whatever set was interrupted here."""
        found = []
        for line in self._lines()[1:] if self._file.exists() else ():
            # The last line may be half written.
            with suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict) and "file" in record:
                    found.append(record)
        return found

    def begin(self) -> None:
        """Begin the set with no clip."""
        self._file.write_text(self._head + "\n", encoding="utf-8")

    def add(self, record: dict[str, Any]) -> None:
        """Note a complete clip."""
        with self._file.open("a", encoding="utf-8") as file:
            # After half a line, a new one.
            file.write("\n" + json.dumps(record) + "\n")

    def end(self) -> None:
        """Forget all: truth.jsonl has taken its place."""
        self._file.unlink(missing_ok=True)

    def _lines(self) -> list[str]:
        return [line for line in self._file.read_text(encoding="utf-8", errors="replace").splitlines() if line]
