"""Videos that a CSV of VGGSound or AudioSet lists, cut beforehand and lying in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cavsync.data.clip import Clip, load_clip
from cavsync.data.shards.items import VideoItem
from cavsync.data.shards.sources import list_items
from cavsync.errors import DataError, MediaError


@dataclass(frozen=True)
class ListedVideos:
    """A clip per row of the CSV; `names` are paths below the folder of the media, or ids of rows without a file."""

    root: Path
    items: list[VideoItem]
    shard_of: None = None

    @classmethod
    def open(cls, path: Path, media: Path, *, split: str | None = None) -> ListedVideos:
        """Read `ytid,start,label,split` (VGGSound) or `ytid,start,end,"labels"` (AudioSet).

        split: keep the rows of this split, which only VGGSound has. Raises DataError for a list or folder that does
        not fit, or a split without rows.
        """
        root, items = list_items(path, media)
        videos = [item for item in items if isinstance(item, VideoItem) and split in (None, item.split)]
        if not videos:
            splits = sorted({item.split for item in items if isinstance(item, VideoItem)})
            raise DataError(f"{path} has no row of the split '{split}', only of {', '.join(splits)}: name one of these")
        return cls(root, videos)

    @cached_property
    def names(self) -> list[str]:
        """Path of each row's file, or its id where there is none."""
        return [str(self.root / item.file) if item.file else item.id for item in self.items]

    def labels(self, index: int) -> tuple[str, ...]:
        """As the row has them."""
        return self.items[index].labels

    def check_files(self, index: int) -> None:
        """Raise MediaError where a row's file is missing, or is the whole video, without reading it."""
        item = self.items[index]
        if not item.file:
            raise MediaError(f"{item.id} has no file among the media: download it or strike its row", reason="missing")
        if item.whole:
            raise MediaError(
                f"{self.names[index]} is a whole video, the list names a part of it: cut it with `cavsync data pack`",
                reason="length_mismatch",
            )

    def load(self, index: int, img_size: int) -> Clip:
        """Decode one file; MediaError where it cannot be used, is missing, or is the whole video."""
        self.check_files(index)
        return load_clip(self.names[index], img_size)
