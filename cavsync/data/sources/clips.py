"""Where clips come from: a folder of videos, or frames and audio that CAV-MAE's JSON lists."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cavsync.data.audio_file import read_audio
from cavsync.data.clip import Clip, load_clip
from cavsync.data.clip_audio import Waveform
from cavsync.data.labels.folder import read_folder_labels, split_labels
from cavsync.data.shards import ShardFolder, is_shard_folder
from cavsync.errors import DataError, MediaError
from cavsync.media.align import FRAME_SHIFT_SECONDS, upstream_start_frame
from cavsync.media.files import find_media
from cavsync.media.frame import resize_center_crop

log = logging.getLogger(__name__)


class ClipSource(Protocol):
    """Named clips that can be loaded one by one, in any process."""

    @property
    def names(self) -> Sequence[str]:
        """A name per clip: its path."""
        ...

    @property
    def shard_of(self) -> NDArray[np.int64] | None:
        """Number of the shard that each clip lies in; None where clips are files of their own."""
        ...

    def labels(self, index: int) -> tuple[str, ...]:
        """The data set's names of the clip's classes, without loading it; none where that is not readable."""
        ...

    def load(self, index: int, img_size: int) -> Clip:
        """Clip `index` with frames of `img_size`; MediaError where it cannot be used."""
        ...


@dataclass(frozen=True)
class VideoFolder:
    """Every media file below a folder, in the order of their paths; `labels_of` is its labels.csv, if it has one."""

    names: list[str]
    labels_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shard_of: None = None

    @classmethod
    def open(cls, folder: Path) -> VideoFolder:
        """Find the files; DataError where there are none."""
        paths = find_media(folder)
        if not paths:
            raise DataError(f"{folder} holds no media file, expected videos such as .mp4 or .webm: give another folder")
        labels = {str(folder / file): names for file, names in read_folder_labels(folder).items()}
        return cls([str(path) for path in paths], labels)

    def labels(self, index: int) -> tuple[str, ...]:
        """As labels.csv has them."""
        return self.labels_of.get(self.names[index], ())

    def load(self, index: int, img_size: int) -> Clip:
        """Decode one file; MediaError where it cannot be used."""
        return replace(load_clip(self.names[index], img_size), labels=self.labels(index))


@dataclass(frozen=True)
class CavMaeJson:
    """CAV-MAE's format: `{"data": [{"wav", "video_id", "video_path", "labels"}]}`, frames at
    `video_path/frame_{i}/video_id.jpg`. Frame i of n belongs to the segment that upstream's index rule gives it."""

    names: list[str]
    entries: list[dict[str, str]]
    frames_per_clip: int
    segment_frames: int
    shard_of: None = None

    @classmethod
    def open(cls, path: Path, *, frames_per_clip: int, segment_frames: int) -> CavMaeJson:
        """Read the list and look at its first clip.

        Raises DataError for a damaged list, or folders with another number of frames.
        """
        source = cls.read(path, frames_per_clip=frames_per_clip, segment_frames=segment_frames)
        found = source.count_frames(0)
        if found != frames_per_clip:
            raise source.wrong_count(0, found)
        return source

    @classmethod
    def read(cls, path: Path, *, frames_per_clip: int, segment_frames: int) -> CavMaeJson:
        """Read the list and nothing that it names. Raises DataError for a damaged list."""
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))["data"]
            names = [f"{entry['video_path']}/{entry['video_id']}" for entry in entries]
            [entry["wav"] for entry in entries]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f'{path} is not a CAV-MAE list ({error!r}), expected {{"data": [{{"wav", "video_id", "video_path", '
                '"labels"}]}: write it anew'
            ) from None
        if not entries:
            raise DataError(f"{path} lists no clip: add entries to its data")
        return cls(names, entries, frames_per_clip, segment_frames)

    def count_frames(self, index: int) -> int:
        """Number of consecutive frames, from frame_0 on, that are on disk for this clip."""
        count = 0
        while self.frame_path(index, count).is_file():
            count += 1
        return count

    def wrong_count(self, index: int, found: int) -> DataError:
        """The error for a clip that has another number of frames than the model is trained with."""
        return DataError(
            f"{self.names[index]} has {found} frames, the configuration expects {self.frames_per_clip}, and a wrong "
            f"count would pair frames with the wrong audio: extract {self.frames_per_clip} frames per clip, or pass "
            f"--set frames_per_clip={found}"
        )

    def check_files(self, index: int) -> None:
        """Raise MediaError where a clip's audio is missing or its frames are not as many, without reading them."""
        found = self.count_frames(index)
        if found != self.frames_per_clip:
            raise MediaError(str(self.wrong_count(index, found)), reason="frame_count")
        wav = Path(self.entries[index]["wav"])
        if not wav.is_file():
            raise MediaError(f"{wav} does not exist: extract the clip's audio", reason="unreadable")

    def load(self, index: int, img_size: int) -> Clip:
        """Read one clip's frames and audio; MediaError where it cannot be used."""
        self.check_files(index)
        audio, found = Waveform(read_audio(self.entries[index]["wav"])), self.frames_per_clip
        total = max(len(audio), 1)
        frames = [self._frame(index, number, img_size) for number in range(found)]
        starts = [upstream_start_frame(number, found, total, self.segment_frames) for number in range(found)]
        times = np.arange(found) * total * FRAME_SHIFT_SECONDS / found
        return Clip(
            self.names[index],
            np.stack(frames),
            times,
            audio,
            segment_starts=np.asarray(starts, dtype=np.int64),
            labels=self.labels(index),
        )

    def labels(self, index: int) -> tuple[str, ...]:
        """As the list has them, separated by commas."""
        return split_labels(self.entries[index].get("labels", ""))

    def frame_path(self, index: int, number: int) -> Path:
        """Where frame `number` of a clip lies."""
        entry = self.entries[index]
        return Path(entry["video_path"], f"frame_{number}", f"{entry['video_id']}.jpg")

    def _frame(self, index: int, number: int, img_size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        path = self.frame_path(index, number)
        try:
            with Image.open(path) as image:
                rgb = np.asarray(image.convert("RGB"))
        except (OSError, UnidentifiedImageError) as error:
            raise MediaError(f"{path} is no readable frame ({error}): extract it again", reason="corrupt") from None
        return resize_center_crop(rgb, img_size).transpose(2, 0, 1)


def open_source(path: Path, *, frames_per_clip: int, segment_frames: int) -> ClipSource:
    """A folder of shards or of videos, or a CAV-MAE JSON file; DataError for anything else."""
    if is_shard_folder(path):
        return ShardFolder.open(path, frames_per_clip=frames_per_clip, segment_frames=segment_frames)
    if path.is_dir():
        return VideoFolder.open(path)
    if path.suffix.lower() == ".json" and path.is_file():
        return CavMaeJson.open(path, frames_per_clip=frames_per_clip, segment_frames=segment_frames)
    raise DataError(f"{path} is neither a folder of shards or videos nor a CAV-MAE .json file: give one of these")


@dataclass
class Rejects:
    """Clips that could not be used: counted by reason, logged once each, never replaced by anything."""

    sentences: dict[str, str] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    _reason_of: dict[str, str] = field(default_factory=dict)
    _has_news: bool = False

    def add(self, name: str, error: MediaError) -> None:
        """Count a clip; the same one again changes nothing."""
        if name not in self.sentences:
            self._note(name, str(error), error.reason)
            self._has_news = True
            log.warning("rejected: %s", error)

    def join(self, others: Rejects) -> None:
        """Take over what another process has found."""
        for name, sentence in others.sentences.items():
            if name not in self.sentences:
                self._note(name, sentence, others._reason_of[name])

    def take_news(self) -> bool:
        """Whether something was added here since this was last asked."""
        had, self._has_news = self._has_news, False
        return had

    def _note(self, name: str, sentence: str, reason: str) -> None:
        self.sentences[name], self._reason_of[name] = sentence, reason
        self.reasons[reason] += 1

    def add_damage(self, source: ClipSource) -> None:
        """Count what was found to be lost when a folder of shards was opened."""
        if isinstance(source, ShardFolder):
            for number, entry in enumerate(source.damage):
                self.add(f"{entry.shard}/{entry.sample}#{number}", entry.as_error())

    def __len__(self) -> int:
        return len(self.sentences)
