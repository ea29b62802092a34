"""Clips with a known offset: the grey level of the frames and the loudness of a tone follow the same signal.

Sign: an audio offset > 0 makes the audio early, so the audio at time t belongs to the frame at t + offset.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from fake_bundle import LOUD_DBFS, QUIET_DBFS
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
TONE_HZ = 1000.0


def course(times_seconds: FloatArray, seed: int = 0) -> FloatArray:
    """Return an irregular signal between 0.05 and 0.95, at most 3 Hz, determined by the seed."""
    random = np.random.default_rng(seed)
    frequencies, phases = random.uniform(0.4, 3.0, 24), random.uniform(0, 2 * np.pi, 24)
    total = np.sin(2 * np.pi * np.asarray(times_seconds)[..., None] * frequencies + phases).sum(axis=-1)
    return 0.5 + 0.45 * np.tanh(total / 3)


def make_frames(times_seconds: FloatArray, seed: int = 0, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Return grey frames (n, height, width, 3) at the given times."""
    grey = np.round(255 * course(times_seconds, seed)).astype(np.uint8)
    return np.broadcast_to(grey[:, None, None, None], (len(grey), height, width, 3)).copy()


def make_audio(
    start_seconds: float,
    num_samples: int,
    *,
    seed: int = 0,
    rate_hz: int = 16_000,
    audio_offset_ms: float | Callable[[FloatArray], FloatArray] = 0.0,
) -> NDArray[np.float32]:
    """Return a tone (n,) whose loudness follows the signal; the offset may change over time."""
    times = start_seconds + np.arange(num_samples) / rate_hz
    offset_ms = audio_offset_ms(times) if callable(audio_offset_ms) else audio_offset_ms
    level_dbfs = QUIET_DBFS + (LOUD_DBFS - QUIET_DBFS) * course(times + offset_ms / 1000, seed)
    tone = np.sqrt(2) * np.sin(2 * np.pi * TONE_HZ * times)
    return (10 ** (level_dbfs / 20) * tone).astype(np.float32)


def write_clip(
    path: Path,
    *,
    seconds: float = 6.0,
    audio_offset_ms: float | Callable[[FloatArray], FloatArray] = 0.0,
    frame_rate: Fraction | int = 25,
    audio_rate_hz: int = 48_000,
    seed: int = 0,
    frames: NDArray[np.uint8] | None = None,
    samples: NDArray[np.float32] | None = None,
    tracks: tuple[str, ...] = ("video", "audio"),
) -> Path:
    """Write a clip; the suffix of `path` selects the container: mkv holds FFV1 and PCM, all others H.264 and AAC."""
    lossless = path.suffix == ".mkv"
    if frames is None:
        frames = make_frames(np.arange(round(seconds * frame_rate)) / float(frame_rate), seed)
    if samples is None:
        count = round(seconds * audio_rate_hz)
        samples = make_audio(0.0, count, seed=seed, rate_hz=audio_rate_hz, audio_offset_ms=audio_offset_ms)
    with av.open(str(path), "w") as container:
        streams: dict[str, Any] = {}
        if "video" in tracks:
            video: Any = container.add_stream("ffv1" if lossless else "libx264", rate=frame_rate)
            video.height, video.width = frames.shape[1:3]
            video.pix_fmt = "yuv444p" if lossless else "yuv420p"
            streams["video"] = video
        if "audio" in tracks:
            audio: Any = container.add_stream("pcm_s16le" if lossless else "aac", rate=audio_rate_hz)
            audio.layout = "mono"
            streams["audio"] = audio
        _interleave(container, streams, frames, samples, frame_rate, audio_rate_hz)
    return path


def _interleave(
    container: Any,
    streams: dict[str, Any],
    frames: NDArray[np.uint8],
    samples: NDArray[np.float32],
    frame_rate: Fraction | int,
    audio_rate_hz: int,
) -> None:
    """Encode frame by frame, each with the audio up to the next one."""
    block = 1024
    written = 0
    for index in range(len(frames) + 1):
        stop = len(samples) if index == len(frames) else round((index + 1) / float(frame_rate) * audio_rate_hz)
        if "video" in streams and index < len(frames):
            image = av.VideoFrame.from_ndarray(frames[index], format="rgb24")
            image.pts = index
            image.time_base = 1 / Fraction(frame_rate)
            container.mux(streams["video"].encode(image))
        while "audio" in streams and written < min(stop, len(samples)):
            piece = samples[written : written + block]
            packed = np.round(np.clip(piece, -1, 1) * 32767).astype(np.int16)[None]
            frame: Any = av.AudioFrame.from_ndarray(packed, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = audio_rate_hz, written, Fraction(1, audio_rate_hz)
            container.mux(streams["audio"].encode(frame))
            written += len(piece)
    for stream in streams.values():
        container.mux(stream.encode(None))


def write_clip_folder(folder: Path) -> Path:
    """Write two clips into an existing folder, and one of the first one's name below it; return the folder."""
    (folder / "more").mkdir()
    for number, name in enumerate(("a.mkv", "b.mkv", "more/a.mkv")):
        write_clip(folder / name, seconds=2.0 + number, seed=number)
    return folder
