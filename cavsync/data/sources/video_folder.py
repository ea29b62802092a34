"""The clips of a folder of videos."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from cavsync.data.clip import Clip, load_clip
from cavsync.data.labels import read_folder_labels
from cavsync.errors import DataError
from cavsync.media.files import find_media
from cavsync.media.resample import ChannelRule


@dataclass(frozen=True)
class VideoFolder:
    """Every media file below a folder, sorted by path; `labels_of` holds the folder's labels.csv, if it has one."""

    names: list[str]
    labels_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shard_of: None = None
    channels: ChannelRule = "mix"

    @classmethod
    def open(cls, folder: Path, channels: ChannelRule = "mix") -> VideoFolder:
        """Find the files. Raises DataError for a folder without media files."""
        paths = find_media(folder)
        if not paths:
            raise DataError(f"{folder} holds no media file, expected videos such as .mp4 or .webm: give another folder")
        labels = {str(folder / file): names for file, names in read_folder_labels(folder).items()}
        return cls([str(path) for path in paths], labels, channels=channels)

    def labels(self, index: int) -> tuple[str, ...]:
        """Return the clip's labels from labels.csv."""
        return self.labels_of.get(self.names[index], ())

    def load(self, index: int, img_size: int) -> Clip:
        """Decode one file. Raises MediaError for a file that cannot be used."""
        return replace(load_clip(self.names[index], img_size, channels=self.channels), labels=self.labels(index))
