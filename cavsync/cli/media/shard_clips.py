"""The clips of shards among the inputs of a command, next to media files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING

from cavsync.cli.media.output_folder import media_places

if TYPE_CHECKING:
    from cavsync.data.shards import ShardFolder
    from cavsync.media import AudioChunk, VideoFrame


@dataclass(frozen=True)
class ShardClip:
    """Clip number `index` of a folder of shards."""

    folder: ShardFolder
    index: int

    def items(self, img_size: int) -> Iterator[VideoFrame | AudioChunk]:
        """Yield its frames (img_size, img_size, 3) and its audio. Raises MediaError for a damaged clip."""
        from cavsync.data.clip_items import clip_items

        yield from clip_items(self.folder.load(self.index, img_size, by_time=True))


def places_with_shards(inputs: Sequence[str]) -> tuple[dict[str, PurePath], dict[str, ShardClip]]:
    """Return the places of all sources (see `media_places`), and those sources that are clips of shards.

    A clip is named FOLDER/TAR/KEY, its place is TAR/KEY. Raises DataError for unusable shards.
    """
    from cavsync.media.files import is_shard_folder

    places: dict[str, PurePath] = {}
    clips: dict[str, ShardClip] = {}
    for given in inputs:
        if not is_shard_folder(Path(given)):
            places |= media_places([given])
            continue
        # Reading shards imports torch.
        from cavsync.data.shards import ShardFolder

        folder = ShardFolder.open(Path(given), frames_per_clip=1, segment_frames=1)
        for index, name in enumerate(folder.names):
            places[name] = _inside(PurePosixPath(name).relative_to(PurePosixPath(Path(given).as_posix())), name)
            clips[name] = ShardClip(folder, index)
    return places, clips


def _inside(place: PurePosixPath, name: str) -> PurePosixPath:
    """Refuse a key that leads out of the folder that is written."""
    from cavsync.errors import DataError

    if ".." in place.parts:
        raise DataError(f"{name} has '..' in its key, expected a name inside its tar: pack the shards again")
    return place
