"""Read the audio of a file as mono 16 kHz samples."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from cavsync.data.clip import join_chunks
from cavsync.errors import MediaError
from cavsync.media import AudioChunk
from cavsync.media.resample import MonoResampler


def read_audio(path: Path | str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return mono 16 kHz samples (n,) of any file with an audio track. Raises MediaError for a file without audio, or
    one that cannot be read."""
    resampler = MonoResampler(16_000)
    chunks: list[AudioChunk] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise MediaError(f"{path} has no audio track: give the clip's audio", reason="no_audio")
            for frame in container.decode(audio=0):
                chunks += resampler.push(frame)
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(f"{path} is not readable audio ({error}): extract it again", reason="unreadable") from None
    chunks += resampler.flush()
    if not chunks:
        raise MediaError(f"{path} holds no audio: extract it again", reason="empty")
    return join_chunks(chunks)[0]
