"""Read the middle frame of a clip, with the clip's audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavsync.data.clip_audio import Waveform
from cavsync.errors import MediaError
from cavsync.media import AudioChunk, MediaReader, VideoFrame
from cavsync.media.audio_file import join_chunks
from cavsync.media.resample import ChannelRule


def middle_frame(path: Path, channels: ChannelRule = "mix") -> tuple[NDArray[np.uint8], Waveform, float]:
    """Return the RGB (H, W, 3) of the frame shown half-way through, the audio, and the frame's time in seconds from the
    start of that audio.

    Raises MediaError for a clip that is unreadable or has no video or audio.
    """
    with MediaReader(path, video_threads=1) as reader:
        duration = reader.info.duration_seconds
    times = [] if duration is not None else _times(path)
    wanted_seconds = duration / 2 if duration is not None else times[len(times) // 2]
    shown: VideoFrame | None = None
    chunks: list[AudioChunk] = []
    with MediaReader(path, channels=channels, video_threads=1) as reader:
        for item in reader:
            if not isinstance(item, VideoFrame):
                chunks.append(item)
            elif shown is None or item.pts_seconds <= wanted_seconds:
                shown = item
    if shown is None or not chunks:
        raise MediaError(f"{path} holds no video or no audio: give a complete file", reason="corrupt")
    samples, start_seconds = join_chunks(chunks)
    return shown.rgb, Waveform(samples), shown.pts_seconds - start_seconds


def _times(path: Path) -> list[float]:
    with MediaReader(path, video_threads=1) as reader:
        return [item.pts_seconds for item in reader if isinstance(item, VideoFrame)] or [0.0]
