"""Read the audio of a file as mono 16 kHz samples, and write such samples as WAV."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from cavsync.errors import MediaError
from cavsync.file_names import ffmpeg_path
from cavsync.media.align import SAMPLE_RATE_HZ
from cavsync.media.container import reason_of
from cavsync.media.packets import read_packets
from cavsync.media.resample import AudioChunk, ChannelRule, MonoResampler


def read_audio(path: Path | str, channels: ChannelRule = "mix") -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return mono 16 kHz samples (n,) of any file with an audio track. Raises MediaError for a file without audio, or
    one that cannot be read."""
    resampler = MonoResampler(16_000, channels=channels)
    chunks: list[AudioChunk] = []
    try:
        with av.open(ffmpeg_path(path)) as container:
            if not container.streams.audio:
                raise MediaError(f"{path} has no audio track: give the clip's audio", reason="no_audio")
            for packet in read_packets(container, container.streams.audio[0]):
                for frame in packet.decode():
                    chunks += resampler.push(frame)
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(
            f"{path} is not readable audio ({reason_of(error)}): extract it again", reason="unreadable"
        ) from None
    chunks += resampler.flush()
    if not chunks:
        raise MediaError(f"{path} holds no audio: extract it again", reason="empty")
    return join_chunks(chunks)[0]


def join_chunks(chunks: list[AudioChunk]) -> tuple[NDArray[np.float32], float]:
    """Join chunks by their timestamps: gaps become zeros, overlapping samples are dropped from the later chunk.

    Returns (samples, start in seconds).
    """
    start_seconds = chunks[0].pts_seconds
    first = round(start_seconds * SAMPLE_RATE_HZ)
    parts: list[NDArray[np.float32]] = []
    end = 0
    for chunk in chunks:
        begin = round(chunk.pts_seconds * SAMPLE_RATE_HZ) - first
        if begin > end:
            parts.append(np.zeros(begin - end, dtype=np.float32))
            end = begin
        new = chunk.samples[end - begin :]
        parts.append(new)
        end += len(new)
    return np.concatenate(parts), start_seconds


def write_pcm16(stream: BinaryIO, samples: NDArray[np.float32]) -> None:
    """Write mono 16 kHz samples (n,) as a 16-bit WAV; values beyond -1..1 are clipped."""
    with wave.open(stream, "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(SAMPLE_RATE_HZ)
        output.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
