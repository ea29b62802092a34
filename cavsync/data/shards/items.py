"""A clip that is to be packed: its files, its id in the data set, its labels, and how to read it.

The `repr` of items goes into the fingerprint of a pack: it must not change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cavsync.data.cav_mae_json import frame_path, frame_times_seconds
from cavsync.data.faces.follow import OpenFinder
from cavsync.data.shards.jpeg import shrink_jpeg
from cavsync.data.shards.options import PackOptions
from cavsync.data.shards.read_video import read_video
from cavsync.data.shards.record import SampleContents
from cavsync.errors import MediaError
from cavsync.media.align import num_log_mel_frames
from cavsync.media.audio_file import read_audio


@dataclass(frozen=True, slots=True)
class VideoItem:
    """A video file, by its name relative to the source; "" for a clip without a file.

    `cut_seconds` is the part of the original video that the clip covers; the file holds only that part, or, if `whole`,
    perhaps the original video. `split` is VGGSound's split, "" for other data sets.
    """

    id: str
    file: str
    labels: tuple[str, ...] = ()
    cut_seconds: tuple[float, float] | None = None
    whole: bool = False
    # Packing ignores the split, so the fingerprint must ignore it too.
    split: str = field(default="", repr=False)

    def read(self, root: Path, options: PackOptions, open_finder: OpenFinder | None) -> SampleContents:
        """Decode the file below `root`. Raises MediaError for a file that is missing or cannot be used."""
        if not self.file:
            raise MediaError(f"{self.id} has no file among the media: download it or delete its row", reason="missing")
        cut_seconds = self.cut_seconds if self.whole else None
        return read_video(root / self.file, options, cut_seconds=cut_seconds, open_finder=open_finder)


@dataclass(frozen=True, slots=True)
class FramesItem:
    """An entry of a CAV-MAE list: frames at `video_path/frame_{i}/{id}.jpg` and an audio file."""

    id: str
    video_path: str
    wav: str
    labels: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Name of the clip in the list: `video_path/id`."""
        return f"{self.video_path}/{self.id}"

    def read(self, root: Path, options: PackOptions, open_finder: OpenFinder | None) -> SampleContents:
        """Read the frames and the audio, whose paths are relative to `root`. Raises MediaError if one is unusable."""
        assert open_finder is None, "a list is never packed with faces"
        frames: list[bytes] = []
        while (path := root / frame_path(self.video_path, self.id, len(frames))).is_file():
            frames.append(shrink_jpeg(_read_bytes(path), options.short_side_px, options.jpeg_quality, str(path)))
        if not frames:
            raise MediaError(f"{path} does not exist: extract the frames", reason="missing")
        samples = read_audio(root / self.wav, options.channels or "mix")
        times = frame_times_seconds(len(frames), num_log_mel_frames(len(samples)))
        return SampleContents(frames, times, samples, by_index=True)


Item = VideoItem | FramesItem


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path} cannot be read ({error.strerror}): extract it again", reason="unreadable") from None
