"""The clips of a VGGSound or AudioSet CSV, as files that are already cut."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cavsync.data.clip import Clip, load_clip
from cavsync.data.shards.items import VideoItem
from cavsync.data.shards.sources import list_items
from cavsync.errors import DataError, MediaError
from cavsync.media.resample import ChannelRule


@dataclass(frozen=True)
class ListedVideos:
    """A clip per row of the CSV; `root` is the folder of the media."""

    root: Path
    items: list[VideoItem]
    shard_of: None = None
    channels: ChannelRule = "mix"

    @classmethod
    def open(cls, path: Path, media: Path, *, split: str | None = None, channels: ChannelRule = "mix") -> ListedVideos:
        """Read `ytid,start,label,split` (VGGSound) or `ytid,start,end,"labels"` (AudioSet).

        split: keep the rows of this split, which only VGGSound has. Raises DataError for an unusable list or folder, or
        a split without rows.
        """
        root, items = list_items(path, media)
        videos = [item for item in items if isinstance(item, VideoItem) and split in (None, item.split)]
        if not videos:
            splits = sorted({item.split for item in items if isinstance(item, VideoItem)})
            raise DataError(f"{path} has no row of the split '{split}', only of {', '.join(splits)}: name one of these")
        return cls(root, videos, channels=channels)

    @cached_property
    def names(self) -> list[str]:
        """The path of each row's file, or the id of a row without a file."""
        return [str(self.root / item.file) if item.file else item.id for item in self.items]

    def labels(self, index: int) -> tuple[str, ...]:
        """Return the labels of the row."""
        return self.items[index].labels

    def check_files(self, index: int) -> None:
        """Raise MediaError for a row whose file is missing or the whole video, without reading it."""
        item = self.items[index]
        if not item.file:
            raise MediaError(f"{item.id} has no file among the media: download it or delete its row", reason="missing")
        if item.whole:
            raise MediaError(
                f"{self.names[index]} is a whole video, but the row is a part of it: cut it with `cavsync data pack`",
                reason="length_mismatch",
            )

    def load(self, index: int, img_size: int) -> Clip:
        """Decode one file. Raises MediaError for a file that is missing, unusable or the whole video."""
        self.check_files(index)
        return load_clip(self.names[index], img_size, channels=self.channels)
