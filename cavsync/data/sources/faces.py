"""The face tracks of the clips of several sources: from shards that hold them, or from a cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cavsync.data.faces.cache import FaceCache
from cavsync.data.faces.face_clip import FaceClip
from cavsync.data.faces.follow import OpenFinder
from cavsync.data.shards import ShardFolder
from cavsync.data.sources.joined import JoinedSources
from cavsync.data.sources.video_folder import VideoFolder
from cavsync.errors import DataError


@dataclass(frozen=True)
class JoinedFaces:
    """Clips of `source` with their face tracks: those of shards were packed with them, those of files in `cache`."""

    source: JoinedSources
    cache: FaceCache

    @property
    def names(self) -> Sequence[str]:
        """Name of each clip: its path."""
        return self.source.names

    def load(self, index: int) -> FaceClip:
        """Load clip `index`. Raises MediaError for a clip that cannot be used."""
        part, place = self.source.place(index)
        return part.load_faces(place) if isinstance(part, ShardFolder) else self.cache.load(part.names[place])

    def fill(
        self,
        open_finder: OpenFinder,
        *,
        workers: int,
        progress: Callable[[int, int], None],
        is_stopped: Callable[[], bool],
    ) -> bool:
        """Follow the faces of all files that are not in the cache yet, as `FaceCache.fill` does.

        Raises DataError for a source that has neither shards with faces nor files.
        """
        names: list[str] = []
        for part in self.source.sources:
            if isinstance(part, VideoFolder):
                names += part.names
            elif not isinstance(part, ShardFolder):
                raise DataError(
                    "A face model trains on videos, not on a CAV-MAE list: give a folder of videos or shards"
                )
        return self.cache.fill(names, open_finder, workers=workers, progress=progress, is_stopped=is_stopped)
