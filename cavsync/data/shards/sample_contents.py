"""The contents of one sample before it is written, and the tar members that it is written as."""

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
    """n frames as JPEG, shown at `pts_seconds` (n,), and mono 16 kHz `samples` that start at `audio_start_seconds`.

    cut_seconds: the part of the file that they come from, None for all of it. by_index: whether frames get their
    segments by CAV-MAE's index rule.
    """

    frames: list[bytes]
    pts_seconds: NDArray[np.float64]
    samples: NDArray[np.float32]
    audio_start_seconds: float = 0.0
    cut_seconds: tuple[float, float] | None = None
    by_index: bool = False

    @property
    def seconds(self) -> float:
        """Duration of the audio."""
        return len(self.samples) / SAMPLE_RATE_HZ

    def members(
        self, *, source_id: str, file: str, labels: tuple[str, ...], licence: str, where: str
    ) -> list[tuple[str, bytes]]:
        """Return (suffix, content) in the order of the tar: description, audio, frames.

        where: names the clip in the error. Raises MediaError for a frame that is not a readable JPEG.
        """
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
