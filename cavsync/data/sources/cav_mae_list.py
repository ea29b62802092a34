"""The clips of a CAV-MAE list: frames as JPEG files, audio as WAV files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cavsync.data.cav_mae_json import frame_path, frame_times_seconds, read_list, segment_starts
from cavsync.data.channel_rule import require_channels
from cavsync.data.clip import Clip
from cavsync.data.clip_audio import Waveform
from cavsync.data.labels import split_labels
from cavsync.errors import DataError, MediaError
from cavsync.media.audio_file import read_audio
from cavsync.media.frame import resize_center_crop
from cavsync.media.resample import ChannelRule


@dataclass(frozen=True)
class CavMaeList:
    """The clips of a CAV-MAE JSON (see `cavsync.data.cav_mae_json`), each with `frames_per_clip` frames.

    Upstream's index rule gives each frame its segment of `segment_frames` log-mel frames. `channels` is what the list
    says of how its audio was made, else what is asked for, else None: mono audio is taken as it is, other audio mixed.
    """

    names: list[str]
    entries: list[dict[str, str]]
    frames_per_clip: int
    segment_frames: int
    shard_of: None = None
    channels: ChannelRule | None = None

    @classmethod
    def open(
        cls, path: Path, *, frames_per_clip: int, segment_frames: int, channels: ChannelRule | None = None
    ) -> CavMaeList:
        """Read the list and count the frames of its first clip.

        Raises DataError as `read` does, or where that count is not `frames_per_clip`.
        """
        source = cls.read(path, frames_per_clip=frames_per_clip, segment_frames=segment_frames, channels=channels)
        found = source.count_frames(0)
        if found != frames_per_clip:
            raise source.frame_count_error(0, found)
        return source

    @classmethod
    def read(
        cls, path: Path, *, frames_per_clip: int, segment_frames: int, channels: ChannelRule | None = None
    ) -> CavMaeList:
        """Read the list, without the files that it names.

        Raises DataError for a damaged or empty list, or one whose audio was made with other `channels`.
        """
        entries, stored = read_list(path)
        require_channels(path, stored, channels)
        if not entries:
            raise DataError(f"{path} lists no clip: add entries to its data")
        names = [f"{entry['video_path']}/{entry['video_id']}" for entry in entries]
        return cls(names, entries, frames_per_clip, segment_frames, channels=stored or channels)

    def count_frames(self, index: int) -> int:
        """Return how many consecutive frames, from frame_0 on, this clip has on disk."""
        count = 0
        while self.frame_path(index, count).is_file():
            count += 1
        return count

    def frame_count_error(self, index: int, found: int) -> DataError:
        """Return the error for a clip with another number of frames than the model is trained with."""
        return DataError(
            f"{self.names[index]} has {found} frames, the configuration expects {self.frames_per_clip}, and a wrong "
            f"count would pair frames with the wrong audio: extract {self.frames_per_clip} frames per clip, or pass "
            f"--set frames_per_clip={found}"
        )

    def check_files(self, index: int) -> None:
        """Raise MediaError for a clip without its audio file or with a wrong number of frames, without reading any."""
        found = self.count_frames(index)
        if found != self.frames_per_clip:
            raise MediaError(str(self.frame_count_error(index, found)), reason="frame_count")
        wav = Path(self.entries[index]["wav"])
        if not wav.is_file():
            raise MediaError(f"{wav} does not exist: extract the clip's audio", reason="unreadable")

    def load(self, index: int, img_size: int) -> Clip:
        """Read one clip's frames and audio. Raises MediaError for a clip that cannot be used."""
        self.check_files(index)
        audio, count = Waveform(read_audio(self.entries[index]["wav"], self.channels or "mix")), self.frames_per_clip
        return Clip(
            self.names[index],
            np.stack([self._frame(index, number, img_size) for number in range(count)]),
            frame_times_seconds(count, len(audio)),
            audio,
            segment_starts=segment_starts(count, len(audio), self.segment_frames),
            labels=self.labels(index),
        )

    def labels(self, index: int) -> tuple[str, ...]:
        """Return the labels of the clip's entry, which commas separate."""
        return split_labels(self.entries[index].get("labels", ""))

    def frame_path(self, index: int, number: int) -> Path:
        """Return the path of frame `number` of a clip."""
        entry = self.entries[index]
        return frame_path(entry["video_path"], entry["video_id"], number)

    def _frame(self, index: int, number: int, img_size: int) -> NDArray[np.uint8]:
        path = self.frame_path(index, number)
        try:
            with Image.open(path) as image:
                rgb = np.asarray(image.convert("RGB"))
        except (OSError, UnidentifiedImageError) as error:
            raise MediaError(f"{path} is not a readable frame ({error}): extract it again", reason="corrupt") from None
        return resize_center_crop(rgb, img_size).transpose(2, 0, 1)
