"""One clip as the model uses it: small frames with their times, and audio."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cavsync.data.clip_audio import ClipAudio, Waveform
from cavsync.errors import MediaError
from cavsync.media import AudioChunk, MediaReader, VideoFrame, resize_center_crop
from cavsync.media.align import SAMPLE_RATE_HZ
from cavsync.media.audio_file import join_chunks
from cavsync.media.resample import ChannelRule

# Video and audio that end this far apart were not recorded together, or one of them drifts.
LENGTH_MISMATCH_SECONDS = 1.0
LENGTH_MISMATCH_SHARE = 0.1
# Containers may store packets of one track up to this far ahead of the other.
INTERLEAVING_SECONDS = 2.0


class Frames(Protocol):
    """Frames of one clip, in memory or decoded on access; a uint8 array (n, 3, S, S) implements it."""

    def __len__(self) -> int:
        """Return the number of frames."""
        ...

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """Return frames `indices` (k,) as RGB (k, 3, S, S). Raises MediaError for a damaged frame."""
        ...


@dataclass(frozen=True)
class Clip:
    """n `frames` at `pts_seconds` (n,), and `audio` whose first sample is at `audio_start_seconds`.

    segment_starts: for formats that assign segments by index, the log-mel frame (n,) at which each frame's segment
    starts; None: segments are placed by time. labels: the data set's names of the clip's classes.
    """

    source: str
    frames: Frames
    pts_seconds: NDArray[np.float64]
    audio: ClipAudio
    audio_start_seconds: float = 0.0
    segment_starts: NDArray[np.int64] | None = None
    labels: tuple[str, ...] = ()


def decode_all(clip: Clip, *, keep_samples: bool = False) -> Clip:
    """Return the clip with all frames in memory, and its log-mel or, with `keep_samples`, its audio as it is; for clips
    that are sampled many times.

    Raises MediaError for a damaged frame.
    """
    audio = clip.audio if keep_samples else clip.audio.log_mel()
    return replace(clip, frames=clip.frames[np.arange(len(clip.frames))], audio=audio)


def load_clip(path: Path | str, img_size: int, *, max_seconds: float = math.inf, channels: ChannelRule = "mix") -> Clip:
    """Decode a video file into a clip with frames of `img_size`, reading no further than `max_seconds`.

    Raises:
        MediaError: unreadable, truncated, without video or audio, or video and audio of different lengths.
    """
    frames: list[NDArray[np.uint8]] = []
    times: list[float] = []
    chunks: list[AudioChunk] = []
    video_end_seconds = 0.0
    for seconds, item in read_until(path, max_seconds, channels=channels):
        if isinstance(item, AudioChunk):
            chunks.append(item)
        elif not times or seconds > times[-1]:
            frames.append(resize_center_crop(item.rgb, img_size).transpose(2, 0, 1))
            times.append(seconds)
            video_end_seconds = min(item.end_seconds, max_seconds)
    if not frames or not chunks:
        raise MediaError(f"{path} holds no video or no audio: give a complete file", reason="corrupt")
    samples, start_seconds = join_chunks(chunks)
    require_same_length(path, video_end_seconds, start_seconds + len(samples) / SAMPLE_RATE_HZ)
    return Clip(str(path), np.stack(frames), np.asarray(times), Waveform(samples), start_seconds)


def read_until(
    path: Path | str, end_seconds: float, *, zero_seconds: float = 0.0, channels: ChannelRule = "mix"
) -> Iterator[tuple[float, VideoFrame | AudioChunk]]:
    """Yield the frames and audio of a file before `end_seconds`, each with its time; times count from `zero_seconds`.

    Raises MediaError for an unreadable file.
    """
    with MediaReader(path, channels=channels, video_threads=1) as reader:
        for item in reader:
            seconds = item.pts_seconds - zero_seconds
            if seconds >= end_seconds + INTERLEAVING_SECONDS:
                return
            if seconds < end_seconds:
                yield seconds, item


def require_same_length(path: Path | str, video_end_seconds: float, audio_end_seconds: float) -> None:
    """Raise MediaError where video and audio end too far apart to belong together."""
    allowed = max(LENGTH_MISMATCH_SECONDS, LENGTH_MISMATCH_SHARE * video_end_seconds)
    if abs(video_end_seconds - audio_end_seconds) > allowed:
        raise MediaError(
            f"{path} has video of {video_end_seconds:.2f} s and audio of {audio_end_seconds:.2f} s, expected "
            "equal lengths: cut it or leave it out",
            reason="length_mismatch",
        )
