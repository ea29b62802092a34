"""The interface of a source of clips, and how a path becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cavsync.data.clip import Clip
from cavsync.data.shards import ShardFolder, is_shard_folder
from cavsync.data.sources.cav_mae_list import CavMaeList
from cavsync.data.sources.video_folder import VideoFolder
from cavsync.errors import DataError
from cavsync.media.resample import ChannelRule


class ClipSource(Protocol):
    """Named clips that can be loaded one by one, in any process."""

    @property
    def names(self) -> Sequence[str]:
        """Name of each clip: its path."""
        ...

    @property
    def shard_of(self) -> NDArray[np.int64] | None:
        """Number of the shard of each clip; None where each clip is a file."""
        ...

    @property
    def channels(self) -> ChannelRule | None:
        """How several channels of audio became one; None where that is not known."""
        ...

    def labels(self, index: int) -> tuple[str, ...]:
        """Return the data set's names of the clip's classes without loading it; empty if they are unreadable."""
        ...

    def load(self, index: int, img_size: int) -> Clip:
        """Load clip `index` with frames of `img_size`. Raises MediaError for a clip that cannot be used."""
        ...


def open_source(
    path: Path, *, frames_per_clip: int, segment_frames: int, channels: ChannelRule | None = None
) -> ClipSource:
    """Open a folder of shards or of videos, or a CAV-MAE JSON file.

    channels: how several channels of audio become one; None mixes those of files, and takes stored audio as it is.
    Raises DataError for anything else, and for stored audio that was made by another rule.
    """
    if is_shard_folder(path):
        return ShardFolder.open(path, frames_per_clip=frames_per_clip, segment_frames=segment_frames, channels=channels)
    if path.is_dir():
        return VideoFolder.open(path, channels or "mix")
    if path.suffix.lower() == ".json" and path.is_file():
        return CavMaeList.open(path, frames_per_clip=frames_per_clip, segment_frames=segment_frames, channels=channels)
    raise DataError(f"{path} is neither a folder of shards or videos nor a CAV-MAE .json file: give one of these")
