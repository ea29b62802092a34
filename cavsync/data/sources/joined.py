"""Several sources joined into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.data.clip import Clip
from cavsync.data.lazy_names import LazyNames
from cavsync.data.sources.clips import ClipSource
from cavsync.media.resample import ChannelRule


@dataclass(frozen=True)
class JoinedSources:
    """The clips of `sources`, one source after the other."""

    sources: tuple[ClipSource, ...]

    @property
    def first_clip(self) -> list[int]:
        """Index of each source's first clip, followed by the total number of clips."""
        return [0, *np.cumsum([len(source.names) for source in self.sources]).tolist()]

    @property
    def names(self) -> Sequence[str]:
        """The name of every clip, each looked up when it is read."""
        return LazyNames(self.first_clip[-1], self.name)

    @property
    def shard_of(self) -> NDArray[np.int64] | None:
        """Number of the shard of each clip; a source without shards counts as one. None if no source has shards."""
        if all(source.shard_of is None for source in self.sources):
            return None
        parts, first = [], 0
        for source in self.sources:
            shards = source.shard_of
            parts.append((np.zeros(len(source.names), dtype=np.int64) if shards is None else shards) + first)
            first = int(parts[-1].max(initial=first)) + 1
        return np.concatenate(parts)

    @property
    def channels(self) -> ChannelRule | None:
        """How several channels of audio became one; None where that is not known or differs."""
        found = {source.channels for source in self.sources}
        return found.pop() if len(found) == 1 else None

    def labels(self, index: int) -> tuple[str, ...]:
        """Return the data set's names of the clip's classes."""
        source, place = self.place(index)
        return source.labels(place)

    def load(self, index: int, img_size: int) -> Clip:
        """Load clip `index` with frames of `img_size`. Raises MediaError for a clip that cannot be used."""
        source, place = self.place(index)
        return source.load(place, img_size)

    def name(self, index: int) -> str:
        """Return the name of clip `index`."""
        source, place = self.place(index)
        return source.names[place]

    def place(self, index: int) -> tuple[ClipSource, int]:
        """Return the source of clip `index`, and its index there."""
        starts = self.first_clip
        if not 0 <= index < starts[-1]:
            raise IndexError(f"Clip {index} of {starts[-1]}")
        number = int(np.searchsorted(starts, index, side="right")) - 1
        return self.sources[number], index - starts[number]
