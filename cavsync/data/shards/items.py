"""One clip of a source before it is packed: where it lies, what it is called, and how to read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from cavsync.data.audio_file import read_audio
from cavsync.data.shards.contents import Contents
from cavsync.data.shards.jpeg import shrink_jpeg
from cavsync.data.shards.options import PackOptions
from cavsync.data.shards.read_video import read_video
from cavsync.errors import MediaError
from cavsync.media.align import FRAME_SHIFT_SECONDS, num_log_mel_frames


class Item(Protocol):
    """A clip to be packed."""

    @property
    def id(self) -> str:
        """The data set's own name of the clip."""
        ...

    @property
    def file(self) -> str:
        """File name, relative to the source; empty where there is none."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its classes."""
        ...

    def read(self, root: Path, options: PackOptions) -> Contents:
        """Its frames and audio; MediaError where it cannot be used."""
        ...


@dataclass(frozen=True, slots=True)
class VideoItem:
    """A video file. `cut_seconds` is the part of the original video that the clip is: the file holds just that part,
    unless `whole` says that it may be the original. `split` is VGGSound's, "" elsewhere."""

    id: str
    file: str
    labels: tuple[str, ...] = ()
    cut_seconds: tuple[float, float] | None = None
    whole: bool = False
    # Packing takes no notice of it, so neither does the fingerprint of what is packed.
    split: str = field(default="", repr=False)

    def read(self, root: Path, options: PackOptions) -> Contents:
        """Decode the file below `root`."""
        if not self.file:
            raise MediaError(f"{self.id} has no file among the media: download it or strike its row", reason="missing")
        return read_video(root / self.file, options, cut_seconds=self.cut_seconds if self.whole else None)


@dataclass(frozen=True, slots=True)
class FramesItem:
    """An entry of a CAV-MAE list: frames at `video_path/frame_{i}/{id}.jpg` and an audio track file."""

    id: str
    video_path: str
    wav: str
    labels: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """As the list names it."""
        return f"{self.video_path}/{self.id}"

    def read(self, root: Path, options: PackOptions) -> Contents:
        """Read the frames and the audio as they are listed (relative to `root`)."""
        frames: list[bytes] = []
        while (path := root / self.video_path / f"frame_{len(frames)}" / f"{self.id}.jpg").is_file():
            frames.append(shrink_jpeg(_bytes(path), options.short_side_px, options.jpeg_quality, str(path)))
        if not frames:
            raise MediaError(f"{path} does not exist: extract the frames", reason="missing")
        samples = read_audio(root / self.wav)
        # Upstream spreads the frames over the audio by their number; their true times are not known.
        times = np.arange(len(frames)) * max(num_log_mel_frames(len(samples)), 1) * FRAME_SHIFT_SECONDS
        return Contents(frames, times / len(frames), samples, by_index=True)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path} cannot be read ({error.strerror}): extract it again", reason="unreadable") from None
