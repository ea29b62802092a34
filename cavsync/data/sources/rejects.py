"""Clips that could not be used, counted by reason."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

from cavsync.data.shards import ShardFolder
from cavsync.data.sources.clips import ClipSource
from cavsync.errors import MediaError
from cavsync.file_names import legible

log = logging.getLogger(__name__)


@dataclass
class Rejects:
    """Clips that could not be used: counted by reason, logged once each, never replaced by other clips.

    `sentences` holds the error of each clip by its name, `reasons` the number of clips by reason.
    """

    sentences: dict[str, str] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    _reason_of: dict[str, str] = field(default_factory=dict)
    _has_changed: bool = False

    def add(self, name: str, error: MediaError) -> None:
        """Count a clip; adding the same clip again changes nothing."""
        name = legible(name)
        if name not in self.sentences:
            self._count(name, str(error), error.reason)
            self._has_changed = True
            log.warning("rejected: %s", error)

    def merge(self, others: Rejects) -> None:
        """Count the rejects of another process, without logging them again."""
        for name, sentence in others.sentences.items():
            if name not in self.sentences:
                self._count(name, sentence, others._reason_of[name])

    def pop_changed(self) -> bool:
        """Return whether `add` counted a clip since the last call."""
        had, self._has_changed = self._has_changed, False
        return had

    def add_damage(self, source: ClipSource) -> None:
        """Count the damage that was found when a folder of shards was opened."""
        if isinstance(source, ShardFolder):
            for number, entry in enumerate(source.damage):
                self.add(f"{entry.shard}/{entry.sample}#{number}", entry.as_error())

    def __len__(self) -> int:
        return len(self.sentences)

    def _count(self, name: str, sentence: str, reason: str) -> None:
        self.sentences[name], self._reason_of[name] = sentence, reason
        self.reasons[reason] += 1
