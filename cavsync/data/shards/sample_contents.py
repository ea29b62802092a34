"""What one sample of a shard holds, and the members that it becomes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.data.shards.flac import encode_flac
from cavsync.data.shards.jpeg import jpeg_size
from cavsync.data.shards.record import FLAC_SUFFIX, JSON_SUFFIX, SampleRecord, frame_suffix
from cavsync.media.align import SAMPLE_RATE_HZ


@dataclass(frozen=True)
class SampleContents:
    """Frames as JPEG, n of them, shown at `pts_seconds` (n,), and mono 16 kHz `samples` heard from
    `audio_start_seconds` on. `cut_seconds` is the part of the file that they are; `by_index` marks CAV-MAE's lists."""

    frames: list[bytes]
    pts_seconds: NDArray[np.float64]
    samples: NDArray[np.float32]
    audio_start_seconds: float = 0.0
    cut_seconds: tuple[float, float] | None = None
    by_index: bool = False

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return len(self.samples) / SAMPLE_RATE_HZ

    def members(
        self, *, source_id: str, file: str, labels: tuple[str, ...], licence: str, where: str
    ) -> list[tuple[str, bytes]]:
        """(suffix, content) in the order of the tar: description, audio, frames."""
        flac = encode_flac(self.samples)
        width, height = jpeg_size(self.frames[0], where)
        record = SampleRecord(
            id=source_id,
            file=file,
            licence=licence,
            labels=labels,
            cut_seconds=self.cut_seconds,
            segment_rule="index" if self.by_index else "time",
            pts_seconds=tuple(self.pts_seconds.tolist()),
            audio_start_seconds=self.audio_start_seconds,
            width=width,
            height=height,
            audio_samples=len(self.samples),
            crc32=tuple(zlib.crc32(data) for data in (flac, *self.frames)),
        )
        frames = [(frame_suffix(number), data) for number, data in enumerate(self.frames)]
        return [(JSON_SUFFIX, record.model_dump_json().encode()), (FLAC_SUFFIX, flac), *frames]
