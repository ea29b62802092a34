"""Damaged packets of a file, counted while it is read."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from cavsync.errors import MediaError

log = logging.getLogger(__name__)

MAX_DAMAGED_SHARE = 0.2


class DamageCheck:
    """Counts damaged packets of the `kinds` of track that are read, to reject a file that is too damaged."""

    def __init__(self, source: str, kinds: Sequence[str] = ("video", "audio")) -> None:
        self._source = source
        self._decoded = dict.fromkeys(kinds, 0)
        self._damaged = 0
        self._container_error = ""
        self.remedy = "give a complete file"

    def count_decoded(self, kind: str, count: int) -> None:
        """Count what a packet of the "video" or "audio" decoded to."""
        self._decoded[kind] += count

    def count_damaged(self, kind: str, error: Exception) -> None:
        """Count a packet of the "video" or "audio" that does not decode, or the "container" that cannot be read on."""
        self._damaged += 1
        if kind == "container":
            self._container_error = str(error)
        log.debug("%s: damaged %s packet: %s", self._source, kind, error)

    def check(self) -> None:
        """Raise MediaError where nothing of a track decodes, too much is damaged, or the file breaks off."""
        for kind, count in self._decoded.items():
            if count == 0:
                raise MediaError(
                    f"{self._source} has a {kind} track of which nothing decodes: {self.remedy}",
                    reason="corrupt",
                )
        total = sum(self._decoded.values()) + self._damaged
        if self._damaged > MAX_DAMAGED_SHARE * total:
            raise MediaError(
                f"{self._source} is corrupt ({self._damaged} of {total} packets do not decode): give an undamaged file",
                reason="corrupt",
            )
        if self._container_error:
            raise MediaError(
                f"{self._source} breaks off ({self._container_error}): give a complete file", reason="truncated"
            )
        if self._damaged:
            log.warning("%s: %d damaged packets were skipped", self._source, self._damaged)
