"""Audio as FLAC, 16 bits, 16 kHz, mono."""

from __future__ import annotations

import io
from collections.abc import Iterator

import av
import av.error
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from cavsync.errors import MediaError
from cavsync.media.align import SAMPLE_RATE_HZ
from cavsync.media.packets import read_packets
from cavsync.media.resample import MonoResampler

AudioArray = NDArray[np.float32]
FULL_SCALE = 32_768
MAX_SECONDS = 3 * 3600
"""Longest audio of a sample. FLAC of silence is a thousandth of its samples, so its size tells nothing."""


def encode_flac(samples: AudioArray) -> bytes:
    """Encode mono 16 kHz `samples` (n,), rounded to 16 bits and clipped to ±1."""
    rounded = np.clip(np.rint(samples * np.float32(FULL_SCALE)), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flac", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE_HZ, layout="mono", format="s16")
        frame = av.AudioFrame.from_ndarray(rounded[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def decode_flac(data: bytes, where: str) -> AudioArray:
    """Decode a FLAC of any rate and layout to mono 16 kHz samples (n,) float32. Raises MediaError that names `where`
    for damaged or empty data."""
    try:
        with av.open(io.BytesIO(data), "r") as container:
            if not container.streams.audio:
                raise MediaError(f"{where} holds no audio: write it again", reason="corrupt")
            frames = list(_decoded(container, where))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{where} is not readable audio ({error}): write it again", reason="corrupt") from None
    samples = _mono(frames)
    if not len(samples):
        raise MediaError(f"{where} holds no audio: write it again", reason="corrupt")
    return samples


def _decoded(container: InputContainer, where: str) -> Iterator[av.AudioFrame]:
    """Yield the frames of the first audio stream, at most `MAX_SECONDS` of them."""
    seconds = 0.0
    for packet in read_packets(container, container.streams.audio[0]):
        for frame in packet.decode():
            seconds += frame.samples / max(1, frame.sample_rate)
            if seconds > MAX_SECONDS:
                raise MediaError(
                    f"{where} is longer than {MAX_SECONDS / 3600:g} hours: pack shorter parts of it", reason="corrupt"
                )
            yield frame


def _mono(frames: list[av.AudioFrame]) -> AudioArray:
    if all((frame.sample_rate, frame.layout.name, frame.format.name) == (16_000, "mono", "s16") for frame in frames):
        # Skip the resampler, which would take longer than decoding.
        whole = [frame.to_ndarray().reshape(-1) for frame in frames] or [np.empty(0, dtype=np.int16)]
        return np.concatenate(whole).astype(np.float32) / np.float32(FULL_SCALE)
    resampler = MonoResampler(SAMPLE_RATE_HZ)
    parts = [samples for frame in frames for _, samples in resampler.push(frame)]
    parts += [samples for _, samples in resampler.flush()]
    return np.concatenate(parts)
