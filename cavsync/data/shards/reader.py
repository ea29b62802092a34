"""The clips of a folder of tar shards."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavsync.data.cav_mae_json import segment_starts
from cavsync.data.channel_rule import require_channels
from cavsync.data.clip import Clip
from cavsync.data.clip_audio import Waveform
from cavsync.data.faces.face_clip import FaceClip
from cavsync.data.faces.track import FaceTrack
from cavsync.data.labels import Label, check_labels, label_names
from cavsync.data.lazy_names import LazyNames
from cavsync.data.shards.damage import Damage, inspect_tar
from cavsync.data.shards.flac import decode_flac
from cavsync.data.shards.index import SampleMembers
from cavsync.data.shards.manifest import read_manifest
from cavsync.data.shards.record import SampleRecord, parse_record
from cavsync.data.shards.tar_files import TarFiles
from cavsync.data.shards.tar_frames import TarFrames
from cavsync.errors import DataError, MediaError
from cavsync.media.resample import ChannelRule

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShardFolder:
    """Clips of the tars in a folder, in the order of the tars and of the samples in them.

    `names` are `TAR/KEY`, each looked up when it is read. `shard_of` (n,) is the number of each clip's tar, so that
    readers can visit the clips of a tar together. `damage` was found when the folder was opened; damage that only
    reading can show is raised by `load`. Pickled, it is little more than the list of the tars' paths.
    """

    files: TarFiles
    first_clip: NDArray[np.int64]
    frames_per_clip: int
    segment_frames: int
    vocabulary: tuple[Label, ...] | None
    known_labels: frozenset[str] | None
    damage: tuple[Damage, ...]
    channels: ChannelRule | None = None

    @classmethod
    def open(
        cls, folder: Path, *, frames_per_clip: int, segment_frames: int, channels: ChannelRule | None = None
    ) -> ShardFolder:
        """Find the tars, written by `cavsync data pack` or another tool that writes samples with the same members.

        frames_per_clip, segment_frames: for clips that came from a CAV-MAE list, whose segments follow its index rule.
        Raises DataError for a folder without usable clips, or one packed with other `channels`.
        """
        manifest = read_manifest(folder)
        stored = None if manifest is None else manifest.options.channels
        require_channels(folder, stored, channels)
        expected = {} if manifest is None else {entry.name: entry for entry in manifest.shards}
        paths = sorted({*folder.glob("*.tar"), *(folder / name for name in expected)})
        if not paths:
            raise DataError(f"{folder} holds no .tar: give a folder that `cavsync data pack` wrote")
        found = [inspect_tar(path, expected.get(path.name)) for path in paths]
        damage = [entry for _, entries in found for entry in entries]
        if manifest is not None and not manifest.complete:
            unfinished = f"{folder} is an unfinished pack: pack it again to finish it"
            damage.insert(0, Damage(str(folder), "", "unfinished", unfinished))
        for entry in damage:
            log.warning("rejected: %s", entry.error)
        counts = [clips for clips, _ in found]
        if not sum(counts):
            raise DataError(f"{folder} holds no usable clip ({damage[0].error}): pack or copy it again")
        vocabulary = None if manifest is None or manifest.labels is None else tuple(manifest.labels)
        return cls(
            files=TarFiles([str(path) for path in paths]),
            first_clip=np.cumsum([0, *counts], dtype=np.int64),
            frames_per_clip=frames_per_clip,
            segment_frames=segment_frames,
            vocabulary=vocabulary,
            known_labels=None if vocabulary is None else label_names(vocabulary),
            damage=tuple(damage),
            channels=stored,
        )

    @property
    def names(self) -> Sequence[str]:
        """`TAR/KEY` of each clip."""
        return LazyNames(len(self), self.name)

    @property
    def shard_of(self) -> NDArray[np.int64]:
        """Number of each clip's tar."""
        return np.repeat(np.arange(len(self.first_clip) - 1), np.diff(self.first_clip))

    def __len__(self) -> int:
        return int(self.first_clip[-1])

    def place(self, index: int) -> tuple[int, int]:
        """Return (number of the tar, position in it) of a clip."""
        if not 0 <= index < len(self):
            raise IndexError(f"Clip {index} of {len(self)}")
        shard = int(np.searchsorted(self.first_clip, index, side="right")) - 1
        return shard, index - int(self.first_clip[shard])

    def sample(self, index: int) -> tuple[int, SampleMembers]:
        """Return (number of the tar, members in it) of a clip. Raises MediaError if the tar has lost the clip since it
        was opened."""
        shard, position = self.place(index)
        found = self.files.index(shard)
        if position >= len(found):
            raise MediaError(
                f"{self.files.paths[shard]} holds {len(found)} samples, sample {position} is lost: copy it again",
                reason="truncated",
            )
        return shard, found[position]

    def name(self, index: int) -> str:
        """Return `TAR/KEY` of a clip, whose key is read from the tar's index."""
        shard, position = self.place(index)
        try:
            key = self.sample(index)[1].key
        except MediaError:
            key = f"(sample {position})"
        return f"{self.files.paths[shard]}/{key}"

    def labels(self, index: int) -> tuple[str, ...]:
        """Return the labels of the clip's description; none if it is damaged, which loading the clip reports."""
        try:
            shard, sample = self.sample(index)
            return parse_record(self.files.read(shard, sample.description), sample.key).labels
        except MediaError:
            return ()

    def load(self, index: int, img_size: int, *, by_time: bool = False) -> Clip:
        """Read one clip: its audio now, each frame when it is used. Raises MediaError for an unusable clip.

        by_time: segments of clips that came from a CAV-MAE list lie at the frames' times too, however many there are.
        """
        shard, sample = self.sample(index)
        where = self._where(shard, sample)
        record = self._record(shard, sample, where)
        crc32 = record.crc32
        audio = Waveform(self._samples(shard, sample, record))
        starts_by_time = by_time or record.segment_rule != "index"
        return Clip(
            source=where,
            frames=TarFrames(self.files, shard, sample.frames, None if crc32 is None else crc32[1:], img_size),
            pts_seconds=np.asarray(record.pts_seconds),
            audio=audio,
            audio_start_seconds=record.audio_start_seconds,
            segment_starts=None if starts_by_time else self._segment_starts(len(audio), record, where),
            labels=record.labels,
        )

    def file_of(self, index: int) -> str:
        """Return the clip's file, relative to the source that was packed; "" if its description is damaged."""
        try:
            shard, sample = self.sample(index)
            return parse_record(self.files.read(shard, sample.description), sample.key).file
        except MediaError:
            return ""

    def load_faces(self, index: int) -> FaceClip:
        """Read the face track and audio of one clip. Raises MediaError for an unusable clip, or one without a track."""
        shard, sample = self.sample(index)
        where = self._where(shard, sample)
        if sample.faces is None:
            raise MediaError(f"{where} has no face track: pack the videos with --faces", reason="no_face")
        record = self._record(shard, sample, where)
        track = FaceTrack.from_bytes(self.files.read(shard, sample.faces), f"{where}, its face track,")
        return FaceClip(where, track, self._samples(shard, sample, record), record.audio_start_seconds)

    def _where(self, shard: int, sample: SampleMembers) -> str:
        """Return the name of a sample in messages."""
        return f"{self.files.paths[shard]}: sample {sample.key}"

    def _samples(self, shard: int, sample: SampleMembers, record: SampleRecord) -> NDArray[np.float32]:
        """Decode the audio of a sample."""
        where, crc32 = self._where(shard, sample), record.crc32
        flac = self.files.read(shard, sample.audio, None if crc32 is None else crc32[0])
        samples = decode_flac(flac, f"{where}, its audio,")
        if record.audio_samples not in (None, len(samples)):
            raise MediaError(
                f"{where} has {len(samples)} samples of audio instead of {record.audio_samples}: write it again",
                reason="corrupt",
            )
        return samples

    def _record(self, shard: int, sample: SampleMembers, where: str) -> SampleRecord:
        record = parse_record(self.files.read(shard, sample.description), where)
        if len(record.pts_seconds) != len(sample.frames):
            raise MediaError(
                f"{where} has {len(sample.frames)} frames and {len(record.pts_seconds)} times: write it again",
                reason="incomplete",
            )
        check_labels(record.labels, self.known_labels, where)
        return record

    def _segment_starts(self, audio_frames: int, record: SampleRecord, where: str) -> NDArray[np.int64]:
        found = len(record.pts_seconds)
        if found != self.frames_per_clip:
            raise MediaError(
                f"{where} has {found} frames of a CAV-MAE list, the configuration expects {self.frames_per_clip}: pass "
                f"--set frames_per_clip={found}",
                reason="frame_count",
            )
        return segment_starts(found, audio_frames, self.segment_frames)
